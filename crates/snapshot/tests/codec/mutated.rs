//! Right documents with one thing wrong, in every place there is.

use serde_json::{Value, json};

use super::*;

/// A step into a tree.
#[derive(Clone, Debug)]
enum Step {
    Field(String),
    Item(usize),
}

/// Every place in a tree, the root first.
fn places(tree: &Value) -> Vec<Vec<Step>> {
    fn walk(tree: &Value, way: &mut Vec<Step>, out: &mut Vec<Vec<Step>>) {
        out.push(way.clone());
        match tree {
            Value::Object(fields) => {
                for (name, value) in fields {
                    way.push(Step::Field(name.clone()));
                    walk(value, way, out);
                    way.pop();
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    way.push(Step::Item(index));
                    walk(value, way, out);
                    way.pop();
                }
            }
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk(tree, &mut Vec::new(), &mut out);
    out
}

fn at<'t>(tree: &'t mut Value, way: &[Step]) -> &'t mut Value {
    way.iter().fold(tree, |tree, step| match step {
        Step::Field(name) => &mut tree[name.as_str()],
        Step::Item(index) => &mut tree[*index],
    })
}

fn shown(way: &[Step]) -> String {
    let mut out = String::new();
    for step in way {
        match step {
            Step::Field(name) if out.is_empty() => out.push_str(name),
            Step::Field(name) => out.push_str(&format!(".{name}")),
            Step::Item(index) => out.push_str(&format!("[{index}]")),
        }
    }
    out
}

fn same_kind(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// What a value is replaced by: blanks, other types, what is too much.
fn others() -> Vec<Value> {
    vec![
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("true"),
        json!("1"),
        json!("*"),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!([]),
        json!([[]]),
        json!([null]),
        json!([""]),
        json!({}),
        json!({ "": "" }),
        json!({ "skip": null }),
    ]
}

/// Tries everything at every place of a document. `read` gives the bytes of what was read, or why it was not.
fn everywhere(bytes: &[u8], read: impl Fn(&[u8]) -> Result<Bytes, UnitFault>) {
    let tree: Value = serde_json::from_slice(bytes).unwrap();
    let read_tree = |tree: &Value| read(&serde_json::to_vec(tree).unwrap());
    assert_eq!(read_tree(&tree).unwrap(), bytes, "the order of fields does not matter");
    let mut told = 0;
    for way in places(&tree) {
        let place = shown(&way);
        let original = at(&mut tree.clone(), &way).clone();

        let mut nulled = tree.clone();
        *at(&mut nulled, &way) = Value::Null;
        let fault = read_tree(&nulled).expect_err(&place);
        assert_eq!(&*fault.field, place, "{fault}");
        assert!(fault.message.contains("null"), "{fault}");

        for other in others() {
            let mut changed = tree.clone();
            *at(&mut changed, &way) = other.clone();
            match read_tree(&changed) {
                // What has another type stands for nothing, but where a choice has two forms.
                Ok(_) => assert!(
                    same_kind(&original, &other) || place.ends_with("ignore_query"),
                    "{place}: {original} became {other}"
                ),
                Err(fault) => {
                    told += 1;
                    assert!(!fault.message.is_empty() && fault.to_string().len() < 2_000, "{place}: {fault}");
                }
            }
        }

        if let Value::Object(_) = original {
            let mut more = tree.clone();
            at(&mut more, &way)["unheard_of"] = json!(1);
            let fault = read_tree(&more).expect_err(&place);
            assert!(fault.to_string().contains("unheard_of"), "{fault}");
        }

        // Left out, a field has its default or is missed.
        if let Some((last, parent)) = way.split_last() {
            let mut fewer = tree.clone();
            match (last, at(&mut fewer, parent)) {
                (Step::Field(name), Value::Object(fields)) => drop(fields.remove(name)),
                (Step::Item(index), Value::Array(items)) => drop(items.remove(*index)),
                (step, parent) => panic!("{step:?} into {parent}"),
            }
            match read_tree(&fewer) {
                // What was read is a whole document again: it is written, and read as it is.
                Ok(bytes) => assert_eq!(read(&bytes).unwrap(), bytes, "{place}"),
                Err(fault) => assert!(!fault.message.is_empty(), "{place}: {fault}"),
            }
        }
    }
    assert!(told > 50);
}

#[test]
fn a_zone_with_anything_wrong_anywhere_is_refused_or_has_a_default() {
    let site = full();
    everywhere(&encode_zone(&site.zones[0]), |bytes| decode_zone(bytes).map(|zone| encode_zone(&zone)));
    // The smallest too: what is left out there stands nowhere in the other.
    let small = Zone::single("http://127.0.0.1:1").unwrap();
    everywhere(&encode_zone(&small), |bytes| decode_zone(bytes).map(|zone| encode_zone(&zone)));
}

#[test]
fn an_edge_with_anything_wrong_anywhere_is_refused_or_has_a_default() {
    everywhere(&encode_edge(&full().edge), |bytes| decode_edge(bytes).map(|edge| encode_edge(&edge)));
}

#[test]
fn a_list_with_anything_wrong_anywhere_is_refused() {
    everywhere(&encode_list(&full().lists[0]), |bytes| decode_list(bytes).map(|list| encode_list(&list)));
}

#[test]
fn a_module_setting_with_anything_wrong_is_refused_or_has_a_default() {
    let setting = ModuleSetting { off: true, mode: Some(FailMode::Closed) };
    let tree: Value = serde_json::from_slice(&encode_module(&setting)).unwrap();
    for (name, original) in tree.as_object().unwrap() {
        for other in others() {
            let mut changed = tree.clone();
            changed[name] = other.clone();
            let read = decode_module(&serde_json::to_vec(&changed).unwrap());
            assert!(read.is_err() || same_kind(original, &other), "{name}: {other}");
        }
    }
    assert!(decode_module(b"null").is_err() && decode_module(b"").is_err());
    assert_eq!(decode_module(b"{}").unwrap(), ModuleSetting::default());
}

proptest! {
    /// Two things wrong at once, of any right zone.
    #[test]
    fn any_zone_with_things_exchanged_is_answered(
        zone in documents::zone(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(),
    ) {
        let bytes = encode_zone(&zone);
        let tree: Value = serde_json::from_slice(&bytes).unwrap();
        let places = places(&tree);
        let mut changed = tree.clone();
        let moved = at(&mut changed, &places[from.index(places.len())]).clone();
        *at(&mut changed, &places[to.index(places.len())]) = moved;
        if let Ok(read) = decode_zone(&serde_json::to_vec(&changed).unwrap()) {
            let bytes = encode_zone(&read);
            prop_assert_eq!(decode_zone(&bytes).unwrap(), read);
        }
        prop_assert!(decode_zone(&bytes[..cut.index(bytes.len())]).is_err());
    }
}
