//! What the leader of a fetch and its followers share, and the followers' side of it.

use crate::key::{Key, Slot};
use crate::object::{Meta, Object};
use crate::stats::{Counters, add};
use crate::tiers::Tiers;
use crate::{SLICE, WINDOW_SLICES};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// How following a fetch began.
#[derive(Clone, Debug)]
pub enum Followed {
    /// The response's head; the body follows through [`Follower::next`].
    Head(Arc<Meta>),
    /// The response is not to be shared: fetch it on your own, without joining.
    Refused,
    /// The fetch ended before its head came: look up and join again.
    Retry,
}

/// Why a follower cannot have the rest of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The leader gave up: its origin broke off, or the length was not what the head said. The origin is to blame.
    #[error("the fetch this response was taken from ended early")]
    Aborted,
    /// This follower was slower than the cache could remember. The client, or a small cache, is to blame.
    #[error("what comes next in this response has left the cache before it was read")]
    Behind,
}

/// A reader of a response another request is fetching. Reads from the start, at its own pace.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    changed: watch::Receiver<()>,
    position: u64,
}

impl Follower {
    /// Waits for the head. Safe to cancel. Waits as long as the leader does: set a time limit of your own.
    pub async fn head(&mut self) -> Followed {
        loop {
            self.changed.borrow_and_update();
            {
                let state = self.shared.state.lock();
                match (&state.phase, &state.head) {
                    (Phase::Aborted, _) => return Followed::Retry,
                    (Phase::Refused, _) => return Followed::Refused,
                    (_, Some(head)) => return Followed::Head(head.clone()),
                    (_, None) => {}
                }
            }
            if self.changed.changed().await.is_err() {
                return Followed::Retry;
            }
        }
    }

    /// The next bytes of the body: at most [`SLICE`], at least one; `None` at the end. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<Bytes, Lost>> {
        loop {
            self.changed.borrow_and_update();
            let step = self.shared.state.lock().read(self.position);
            let (slice, offset) = match step {
                Step::Chunk(chunk) => return Some(Ok(self.advance(chunk))),
                Step::End => return None,
                Step::Lost => return Some(Err(Lost::Aborted)),
                Step::Wait => {
                    if self.changed.changed().await.is_err() {
                        return Some(Err(Lost::Aborted));
                    }
                    continue;
                }
                Step::Object(object) => {
                    let (index, offset) = place(self.position);
                    (object.body().slice(index).await, offset)
                }
                Step::Tiers(slot, offset) => (self.shared.tiers.slice(slot).await, offset),
            };
            return match slice.and_then(|s| (offset < s.len()).then(|| s.slice(offset..))) {
                Some(chunk) => Some(Ok(self.advance(chunk))),
                None => {
                    add(&self.shared.tiers.counters.lost, 1);
                    Some(Err(Lost::Behind))
                }
            };
        }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on reading from elsewhere, for ranges. What the leader has not fetched yet is waited for.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
    }

    fn advance(&mut self, chunk: Bytes) -> Bytes {
        self.position += chunk.len() as u64;
        chunk
    }
}

/// A fetch under way.
#[derive(Debug)]
pub(crate) struct Shared {
    pub seq: u64,
    pub tiers: Arc<Tiers>,
    pub state: Mutex<State>,
    /// Set when what is under the key was removed meanwhile: the response may be older than the removal.
    pub doomed: AtomicBool,
    changed: watch::Sender<()>,
}

impl Shared {
    pub fn new(seq: u64, key: Key, tiers: Arc<Tiers>) -> Arc<Shared> {
        let state = Mutex::new(State::new(key, seq));
        Arc::new(Shared {
            seq,
            tiers,
            state,
            doomed: AtomicBool::new(false),
            changed: watch::Sender::new(()),
        })
    }

    pub fn follow(self: &Arc<Shared>) -> Follower {
        Follower { shared: self.clone(), changed: self.changed.subscribe(), position: 0 }
    }

    pub fn followers(&self) -> usize {
        self.changed.receiver_count()
    }

    pub fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Relaxed)
    }

    /// Changes the state, keeps account of the memory it holds, and wakes the followers.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let before = state.bytes();
        let result = change(&mut state);
        let after = state.bytes();
        drop(state);
        account(&self.tiers.counters, before, after);
        // Whoever subscribes from now on sees the change, since it looks at the state after subscribing.
        if self.changed.receiver_count() > 0 {
            self.changed.send_replace(());
        }
        result
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        account(&self.tiers.counters, self.state.get_mut().bytes(), 0);
    }
}

fn account(counters: &Counters, before: u64, after: u64) {
    if after > before {
        add(&counters.fill_bytes, after - before);
    } else {
        counters.fill_bytes.fetch_sub(before - after, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) enum Phase {
    /// Under way, with or without a head.
    Open,
    /// All there; with the object if it could be stored.
    Complete(Option<Arc<Object>>),
    Refused,
    Aborted,
}

/// The state of a fetch: head and the part of the body at hand, `sealed` slices from `first` on, then `open` chunks.
#[derive(Debug)]
pub(crate) struct State {
    pub phase: Phase,
    pub head: Option<Arc<Meta>>,
    /// Key it is stored under, which is that of a variant if the response turns out to be one.
    pub key: Key,
    generation: u64,
    first: u32,
    sealed: VecDeque<Bytes>,
    /// Chunks of the slice that is not complete yet, each with its offset in it.
    open: Vec<(usize, Bytes)>,
    open_len: usize,
    /// Bytes set aside while it is under way.
    reserved: u64,
}

enum Step {
    Chunk(Bytes),
    Tiers(Slot, usize),
    Object(Arc<Object>),
    End,
    Wait,
    Lost,
}

/// Chunks smaller than this are joined by copying, so that an origin that sends single bytes does not cost
/// a reference-counted buffer for each.
const CHUNK_MIN: usize = 4096;

impl State {
    fn new(key: Key, generation: u64) -> State {
        State {
            phase: Phase::Open,
            head: None,
            key,
            generation,
            first: 0,
            sealed: VecDeque::new(),
            open: Vec::new(),
            open_len: 0,
            reserved: 0,
        }
    }

    /// Bytes held or set aside.
    pub fn bytes(&self) -> u64 {
        let held = self.sealed.iter().map(Bytes::len).sum::<usize>() + self.open_len;
        self.reserved.max(held as u64)
    }

    /// Sets the head, and so many bytes aside for the body.
    pub fn begin(&mut self, head: Arc<Meta>, reserved: u64) {
        self.head = Some(head);
        self.reserved = reserved;
    }

    /// Ends it. What followers may still read stays.
    pub fn settle(&mut self, phase: Phase) {
        self.phase = phase;
        self.reserved = 0;
    }

    /// Appends to the open slice; the caller keeps it within [`SLICE`].
    pub fn append(&mut self, chunk: Bytes) {
        let len = chunk.len();
        match self.open.last_mut() {
            Some((_, last)) if last.len() < CHUNK_MIN && len < CHUNK_MIN => {
                let mut joined = Vec::with_capacity(last.len() + len);
                joined.extend_from_slice(last);
                joined.extend_from_slice(&chunk);
                *last = Bytes::from(joined);
            }
            _ => self.open.push((self.open_len, chunk)),
        }
        self.open_len += len;
    }

    /// The chunks of the open slice.
    pub fn open(&self) -> Vec<Bytes> {
        self.open.iter().map(|(_, chunk)| chunk.clone()).collect()
    }

    /// Puts the whole slice in place of the open chunks and keeps at most `window` sealed slices.
    pub fn seal(&mut self, slice: Bytes, window: usize) {
        self.open.clear();
        self.open_len = 0;
        self.sealed.push_back(slice);
        while self.sealed.len() > window.min(WINDOW_SLICES) {
            self.sealed.pop_front();
            self.first += 1;
        }
    }

    /// Lets go of the body.
    pub fn clear(&mut self) {
        self.open = Vec::new();
        self.open_len = 0;
        self.sealed = VecDeque::new();
    }

    fn read(&self, position: u64) -> Step {
        let (index, offset) = place(position);
        if let Phase::Complete(Some(object)) = &self.phase {
            if position >= object.body().len() {
                return Step::End;
            }
            if let Some(body) = object.body().whole() {
                return Step::Chunk(body.slice(offset..));
            }
        }
        let at_hand = index.checked_sub(self.first).map(|i| i as usize);
        if let Some(slice) = at_hand.and_then(|i| self.sealed.get(i))
            && offset < slice.len()
        {
            return Step::Chunk(slice.slice(offset..));
        }
        if at_hand == Some(self.sealed.len()) && offset < self.open_len {
            let after = self.open.partition_point(|(start, _)| *start <= offset);
            if let Some((start, chunk)) = after.checked_sub(1).and_then(|i| self.open.get(i)) {
                return Step::Chunk(chunk.slice(offset - start..));
            }
        }
        match &self.phase {
            Phase::Aborted | Phase::Refused => Step::Lost,
            Phase::Complete(Some(object)) => Step::Object(object.clone()),
            Phase::Open | Phase::Complete(None) if at_hand.is_none() => {
                Step::Tiers(Slot::slice(self.key, self.generation, index), offset)
            }
            Phase::Complete(None) => Step::End,
            Phase::Open => Step::Wait,
        }
    }
}

/// Slice and offset in it of a position.
fn place(position: u64) -> (u32, usize) {
    let index = u32::try_from(position / SLICE as u64).unwrap_or(u32::MAX);
    (index, (position % SLICE as u64) as usize)
}
