//! The leader's side of a fetch.

use crate::follow::{Follower, Phase, Shared, State};
use crate::key::{Key, Slot};
use crate::object::{Meta, Object};
use crate::stats::{add, read};
use crate::store::{Inner, Store};
use crate::{SLICE, WINDOW_SLICES};
use bytes::Bytes;
use std::sync::Arc;

/// Why a complete response was not stored. Its followers have it all the same, except after `Length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unstored {
    /// The fill was ended before: refused, too large by its head, or given up for want of memory.
    #[error("the fill had already ended")]
    Ended,
    /// There was no head.
    #[error("no head was given")]
    Headless,
    /// The body is longer than an object may be.
    #[error("the body of {len} bytes is longer than {max}")]
    TooLarge {
        /// Bytes that came
        len: u64,
        /// Bytes allowed
        max: u64,
    },
    /// The body is not as long as the head said; the origin is to blame.
    #[error("the body has {got} bytes, its head promised {want}")]
    Length {
        /// Bytes promised
        want: u64,
        /// Bytes that came
        got: u64,
    },
    /// Parts of it are gone already: it came faster than the disk could write, and memory does not hold it.
    #[error("the cache could not keep all of it")]
    Incomplete,
    /// It was purged or removed while it was fetched.
    #[error("purged while it was fetched")]
    Purged,
}

/// Bytes set aside for a body of unknown length: most such bodies are pages made on the fly.
const UNKNOWN_LEN: u64 = 64 << 10;

/// The right and duty to fetch a response for everyone who asks for it meanwhile.
///
/// In order: [`head`](Fill::head) once, [`push`](Fill::push) as the body comes, then [`finish`](Fill::finish); or
/// [`refuse`](Fill::refuse) or [`adopt`](Fill::adopt) instead. Dropping it gives up: followers without a head retry,
/// the others see an error. Nothing here waits.
#[derive(Debug)]
pub struct Fill {
    store: Arc<Inner>,
    shared: Arc<Shared>,
    /// Keys it is listed under.
    listed: [Option<Key>; 2],
    key: Key,
    want: Option<u64>,
    len: u64,
    open_len: usize,
    sealed: u32,
    headed: bool,
    /// Still to be stored.
    storing: bool,
    /// Followers still to be told how it ends.
    open: bool,
}

impl Fill {
    pub(crate) fn new(store: Arc<Inner>, shared: Arc<Shared>, key: Key, listed: bool) -> Fill {
        add(&store.tiers.counters.fills, 1);
        Fill {
            store,
            shared,
            listed: [listed.then_some(key), None],
            key,
            want: None,
            len: 0,
            open_len: 0,
            sealed: 0,
            headed: false,
            storing: true,
            open: true,
        }
    }

    /// Place of this fetch in the order of fetches and purges; the sequence of the object it makes.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.shared.seq
    }

    /// Followers now.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.shared.followers()
    }

    /// The response is a variant: it is stored under this key, and those who ask for this key from now on follow too.
    /// Those who follow already must look at the head to see whether it is the variant they want. Before `head`.
    pub fn vary_to(&mut self, key: Key) {
        if self.headed || key == self.key {
            return;
        }
        self.key = key;
        self.shared.change(|state| state.key = key);
        if self.listed[0].is_some() && self.store.list(key, &self.shared) {
            self.listed[1] = Some(key);
        }
    }

    /// A follower of one's own, for serving one's client like everyone else's: it reads to the end even of what turns out
    /// not to be stored, and counts as someone who wants it. Take it right after [`Fill::head`].
    #[must_use]
    pub fn follow(&self) -> Follower {
        self.shared.follow()
    }

    /// Publishes the head. Returns `false`, and refuses the followers, if the response will not be stored: it is larger
    /// than an object may be, or fills hold all the memory they may. Pushing on does no harm then, and no good.
    pub fn head(&mut self, meta: Meta) -> bool {
        if !self.open || self.headed {
            return self.open;
        }
        let too_large = meta.body_len.is_some_and(|len| len > self.store.max_object);
        let needs = meta.body_len.unwrap_or(UNKNOWN_LEN).min(SLICE as u64);
        if too_large || self.store.fill_pressure(needs) > 1.0 {
            self.end(Phase::Refused);
            return false;
        }
        self.headed = true;
        self.store.note_url(&meta.labels);
        self.want = meta.body_len;
        let head = Arc::new(meta);
        self.shared.change(|state| state.begin(head, needs));
        true
    }

    /// Passes on and stores the next bytes of the body. Returns whether anyone still wants more.
    pub fn push(&mut self, mut data: Bytes) -> bool {
        self.len += data.len() as u64;
        if !self.open || !self.headed {
            return false;
        }
        if self.storing && self.len > self.store.max_object {
            // Those who follow may read on, but no one can begin: the start will be gone.
            self.storing = false;
            self.unlist();
        }
        let (pressure, followed) = (self.store.fill_pressure(0), self.shared.followers() > 0);
        // Room was set aside for what the head promised, so that only bodies of unknown length can bring it to this.
        let overrun = pressure > if followed { 2.0 } else { 1.0 };
        if overrun || !(self.storing || followed) {
            self.end(Phase::Aborted);
            // What followers have not read is lost to them; keeping it for them is what there is no memory for.
            self.shared.change(State::clear);
            return false;
        }
        let window = match pressure {
            low if low < 0.25 => WINDOW_SLICES,
            some if some < 0.5 => 1,
            _ => 0,
        };
        while !data.is_empty() {
            if self.open_len == SLICE {
                self.seal(window);
            }
            let part = data.split_to(data.len().min(SLICE - self.open_len));
            self.open_len += part.len();
            self.shared.change(|state| state.append(part));
        }
        true
    }

    /// The body is complete: stores the object and lets the followers read to the end.
    pub fn finish(mut self) -> Result<Arc<Object>, Unstored> {
        if !self.open {
            return Err(Unstored::Ended);
        }
        if !self.headed {
            return Err(Unstored::Headless);
        }
        if let Some(want) = self.want.filter(|want| *want != self.len) {
            return Err(Unstored::Length { want, got: self.len });
        }
        if !self.storing {
            let (len, max) = (self.len, self.store.max_object);
            self.end(Phase::Complete(None));
            return Err(Unstored::TooLarge { len, max });
        }
        let object = Arc::new(self.object());
        let fault = if self.shared.is_doomed() || !self.store.marks.spare(&object) {
            Some(Unstored::Purged)
        } else if !object.body().is_complete() {
            Some(Unstored::Incomplete)
        } else {
            None
        };
        let counters = &self.store.tiers.counters;
        if fault.is_none() {
            self.store.tiers.put(&object);
            add(&counters.admitted, 1);
        } else {
            // Followers may still read what slices there are.
            object.forget();
            add(&counters.refused, 1);
        }
        self.end(Phase::Complete(Some(object.clone())));
        fault.map_or(Ok(object), Err)
    }

    /// The response is not to be shared: followers go their own way.
    pub fn refuse(mut self) {
        self.end(Phase::Refused);
    }

    /// The fetch showed that a stored object is still good (or made a new one some other way): followers get that.
    pub fn adopt(mut self, object: Arc<Object>) {
        if self.headed || !self.open {
            return;
        }
        let head = Arc::new(object.meta.clone());
        self.shared.change(|state| state.head = Some(head));
        self.storing = false;
        self.end(Phase::Complete(Some(object)));
    }

    /// The fetch showed that `old` is still good, under this head: stores and returns that (see [`Store::refresh`],
    /// unless it was removed meanwhile), and gives it to the followers.
    pub fn refresh(self, old: &Arc<Object>, meta: Meta) -> Arc<Object> {
        let object = if self.shared.is_doomed() {
            Arc::new(old.with_meta(meta))
        } else {
            Store(self.store.clone()).refresh(old, meta)
        };
        self.adopt(object.clone());
        object
    }

    fn object(&mut self) -> Object {
        let meta = self.shared.state.lock().head.clone().unwrap_or_default();
        let meta = Arc::try_unwrap(meta).unwrap_or_else(|shared| Meta::clone(&shared));
        if self.sealed == 0 {
            let body = join(&self.shared.state.lock().open(), self.open_len);
            return Object::whole(self.key, self.seq(), meta, body);
        }
        if self.open_len > 0 {
            self.seal(WINDOW_SLICES);
        }
        let tiers = Arc::downgrade(&self.store.tiers);
        Object::sliced(self.key, self.seq(), meta, self.len, tiers)
    }

    /// Makes one slice of the open chunks, and stores it.
    fn seal(&mut self, window: usize) {
        let chunks = self.shared.state.lock().open();
        let slice = join(&chunks, self.open_len);
        drop(chunks);
        let slot = Slot::slice(self.key, self.seq(), self.sealed);
        if self.storing {
            self.store.tiers.put_slice(slot, slice.clone());
        }
        self.sealed += 1;
        self.open_len = 0;
        self.shared.change(|state| state.seal(slice, window));
    }

    fn end(&mut self, phase: Phase) {
        self.unlist();
        let counters = &self.store.tiers.counters;
        let stored = match &phase {
            Phase::Complete(Some(_)) => true,
            Phase::Complete(None) | Phase::Refused => {
                add(&counters.refused, 1);
                false
            }
            Phase::Aborted | Phase::Open => {
                add(&counters.aborted, 1);
                false
            }
        };
        if !stored && self.sealed > 0 {
            self.store.tiers.drop_slices(self.key, self.seq(), self.sealed);
        }
        self.shared.change(|state| {
            let whole = matches!(&phase, Phase::Complete(Some(object)) if object.body().whole().is_some());
            if whole || matches!(phase, Phase::Refused) {
                state.clear();
            }
            state.settle(phase);
        });
        self.open = false;
        self.storing = false;
    }

    fn unlist(&mut self) {
        for key in self.listed.iter_mut().filter_map(Option::take) {
            self.store.fills.leave(key, &self.shared);
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        if self.open {
            self.end(Phase::Aborted);
        }
    }
}

/// Copies chunks into one buffer of exactly their length: a chunk may be a small part of a large read buffer, which
/// must not stay in memory for as long as the object does.
fn join(chunks: &[Bytes], len: usize) -> Bytes {
    let mut whole = Vec::with_capacity(len);
    chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
    Bytes::from(whole)
}

impl Inner {
    /// Share of the memory fills may hold that they hold, with so many bytes more.
    fn fill_pressure(&self, more: u64) -> f64 {
        (read(&self.tiers.counters.fill_bytes) + more) as f64 / self.fill_memory.max(1) as f64
    }
}
