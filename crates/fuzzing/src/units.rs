//! The bytes of units.

use seawall_snapshot::{
    Bytes, UnitFault, decode_edge, decode_list, decode_module, decode_zone, encode_edge, encode_list,
    encode_module, encode_zone,
};
use std::fmt::Debug;

/// Bytes as a unit of every kind: what is taken is whole, is written in one form, and is read from it again; what is not
/// taken is told.
pub fn units(data: &[u8]) {
    if let Some(zone) = round(data, decode_zone, encode_zone) {
        assert!(!zone.hosts.is_empty() && !zone.pools.is_empty() && !zone.routes.is_empty(), "{zone:?}");
        assert!(zone.routes.iter().all(|route| zone.pool(&route.pool).is_some()), "{zone:?}");
        assert!(zone.rules.iter().all(|rule| !rule.when.is_empty()), "{zone:?}");
        for pool in &zone.pools {
            assert!(!pool.origins.is_empty() && pool.fallback.iter().all(|name| zone.pool(name).is_some()));
        }
    }
    if let Some(edge) = round(data, decode_edge, encode_edge) {
        assert!(edge.modules.is_empty() && !edge.rollout.stages.is_empty(), "{edge:?}");
    }
    round(data, decode_list, encode_list);
    round(data, decode_module, encode_module);
}

fn round<T: Debug + PartialEq>(
    data: &[u8],
    decode: fn(&[u8]) -> Result<T, UnitFault>,
    encode: fn(&T) -> Bytes,
) -> Option<T> {
    match decode(data) {
        Ok(document) => {
            let bytes = encode(&document);
            let again = decode(&bytes).unwrap_or_else(|fault| panic!("{fault}: {document:?}"));
            assert_eq!(again, document);
            assert_eq!(encode(&again), bytes);
            Some(document)
        }
        Err(fault) => {
            let told = fault.to_string();
            assert!(!fault.message.is_empty() && told.len() < 4_000, "{told}");
            assert!(!told.contains(|c: char| c.is_control()), "{told:?}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed that is refused at its first field would keep the search out of all behind it.
    #[test]
    fn the_full_seeds_are_taken() {
        let seed = |name: &str| {
            std::fs::read(format!("{}/../../fuzz/corpus/units/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
        };
        for name in ["zone-plain", "zone-full"] {
            decode_zone(&seed(name)).unwrap();
        }
        for name in ["edge-smallest", "edge-full"] {
            decode_edge(&seed(name)).unwrap();
        }
        decode_list(&seed("list")).unwrap();
        decode_module(&seed("module")).unwrap();
    }
}
