//! Floods of HTTP/2 frames that cost us work and carry nothing: PING, SETTINGS, PRIORITY, resets, empty DATA, unknown
//! types. The `h2` crate answers each and bounds memory; how many of them a client may send is decided here, by a look
//! at the frame headers as they come in (RFC 9113 §4.1, §10.5).

/// Bytes of a client's connection preface (RFC 9113 §3.4).
const PREFACE: usize = 24;
/// Most a client can have in hand, in points; what it starts with.
const POINTS_MAX: u32 = 1000;
/// Points that come back each second. A client that asks once in a while never runs out.
const POINTS_PER_S: u64 = 50;
/// Bytes of content, either way, that earn a point: who moves data may probe round-trip times with a PING a frame.
const BYTES_PER_POINT: usize = 1024;
/// What a frame without content costs.
const COST: u32 = 1;
/// What a reset costs: each threw away a request that was begun (CVE-2023-44487). A browser that leaves a page resets
/// a hundred at most.
const COST_RESET: u32 = 5;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Reads along on one connection.
#[derive(Debug)]
pub(crate) struct Floods {
    /// Header of a frame, as far as it has come.
    header: [u8; 9],
    have: usize,
    /// Bytes to pass over: the rest of the preface or of a frame.
    skip: usize,
    points: u32,
    /// Bytes that have not earned a whole point yet.
    bytes: usize,
    refilled_ms: u64,
}

impl Floods {
    pub(crate) fn new(now_ms: u64) -> Floods {
        Floods { header: [0; 9], have: 0, skip: PREFACE, points: POINTS_MAX, bytes: 0, refilled_ms: now_ms }
    }

    /// Bytes the client sent. `false` once it has sent too much of nothing.
    pub(crate) fn read(&mut self, mut bytes: &[u8], now_ms: u64) -> bool {
        self.refill(now_ms);
        while !bytes.is_empty() {
            let passed = self.skip.min(bytes.len());
            self.skip -= passed;
            bytes = bytes.get(passed..).unwrap_or(&[]);
            let wanted = self.header.get_mut(self.have..).unwrap_or(&mut []);
            let n = wanted.len().min(bytes.len());
            let (now, later) = bytes.split_at_checked(n).unwrap_or((bytes, &[]));
            wanted.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
            self.have += n;
            bytes = later;
            if self.have == self.header.len() {
                self.have = 0;
                if !self.frame() {
                    return false;
                }
            }
        }
        true
    }

    /// Bytes we sent.
    pub(crate) fn wrote(&mut self, n: usize) {
        self.earn(n);
    }

    fn frame(&mut self) -> bool {
        let [a, b, c, kind, ..] = self.header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.skip = length;
        let cost = match kind {
            DATA if length > 0 => {
                self.earn(length);
                0
            }
            // Streams and the length of heads have limits of their own; windows are opened for data that we send.
            HEADERS | CONTINUATION | WINDOW_UPDATE => 0,
            RST_STREAM => COST_RESET,
            _ => COST,
        };
        match self.points.checked_sub(cost) {
            Some(left) => {
                self.points = left;
                true
            }
            None => false,
        }
    }

    fn earn(&mut self, n: usize) {
        self.bytes += n;
        let earned = u32::try_from(self.bytes / BYTES_PER_POINT).unwrap_or(POINTS_MAX);
        self.bytes %= BYTES_PER_POINT;
        self.points = self.points.saturating_add(earned).min(POINTS_MAX);
    }

    fn refill(&mut self, now_ms: u64) {
        let earned = now_ms.saturating_sub(self.refilled_ms) * POINTS_PER_S / 1000;
        if earned > 0 {
            self.refilled_ms = now_ms;
            let earned = u32::try_from(earned).unwrap_or(POINTS_MAX);
            self.points = self.points.saturating_add(earned).min(POINTS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![(length >> 16) as u8, (length >> 8) as u8, length as u8, kind, 0, 0, 0, 0, 1];
        bytes.resize(9 + length, kind);
        bytes
    }

    fn opened() -> Floods {
        let mut floods = Floods::new(0);
        assert!(floods.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0));
        floods
    }

    #[test]
    fn frames_without_content_run_out_of_points() {
        for (kind, length, most) in
            [(6, 8, 1000), (4, 0, 1000), (2, 5, 1000), (0, 0, 1000), (3, 4, 200), (99, 1, 1000)]
        {
            let mut floods = opened();
            let sent = (0..2000).take_while(|_| floods.read(&frame(kind, length), 0)).count();
            assert_eq!(sent, most, "frame type {kind}");
        }
    }

    #[test]
    fn requests_and_content_cost_nothing() {
        for (kind, length) in [(1, 30), (0, 1), (8, 4), (9, 3)] {
            let mut floods = opened();
            assert!((0..5000).all(|_| floods.read(&frame(kind, length), 0)), "frame type {kind}");
        }
    }

    #[test]
    fn a_ping_for_each_frame_of_data_is_fine_either_way() {
        let (mut up, mut down) = (opened(), opened());
        for _ in 0..5000 {
            assert!(up.read(&frame(0, 4096), 0) && up.read(&frame(6, 8), 0));
            down.wrote(4096);
            assert!(down.read(&frame(6, 8), 0));
        }
    }

    #[test]
    fn points_come_back_with_time() {
        let mut floods = opened();
        while floods.read(&frame(6, 8), 0) {}
        assert!(!floods.read(&frame(6, 8), 10));
        assert!(floods.read(&frame(6, 8), 1000));
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        for _ in 0..150 {
            bytes.extend(frame(1, 20));
            bytes.extend(frame(3, 4));
            bytes.extend(frame(0, 100));
        }
        let whole = {
            let mut floods = opened();
            assert!(floods.read(&bytes, 0));
            floods.points
        };
        for cut in [1, 2, 7, 10, 1000] {
            let mut floods = opened();
            assert!(bytes.chunks(cut).all(|part| floods.read(part, 0)));
            assert_eq!(floods.points, whole, "cut at {cut}");
        }
    }
}
