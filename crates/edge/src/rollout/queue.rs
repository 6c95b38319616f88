//! Changes that wait for their turn, and which of them go first.

use super::{Content, Proposal};
use std::collections::VecDeque;

/// What waits. Of several configurations the newest counts. Orders with short stages go first, among themselves in the
/// order they came.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Waiting>);

/// A change and the order it came by.
pub(super) type Waiting = (u64, Box<Proposal>);

impl Queue {
    /// Takes a change. Answers the orders that it makes pointless.
    pub(super) fn push(&mut self, order: u64, proposal: Box<Proposal>) -> Vec<u64> {
        let pointless: Vec<u64> = self
            .0
            .iter()
            .filter(|(_, earlier)| proposal.supersedes(earlier))
            .map(|(order, _)| *order)
            .collect();
        self.0.retain(|(order, _)| !pointless.contains(order));
        let at = if proposal.quick { self.quick() } else { self.0.len() };
        self.0.insert(at, (order, proposal));
        pointless
    }

    /// Takes back a change that had to make way: it is next after those it made way for.
    pub(super) fn again(&mut self, waiting: Waiting) {
        let at = if waiting.1.quick { 0 } else { self.quick() };
        self.0.insert(at, waiting);
    }

    /// The next one.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Orders of those that wait, in their turn.
    pub(super) fn orders(&self) -> Vec<u64> {
        self.0.iter().map(|(order, _)| *order).collect()
    }

    /// How many at the front have short stages.
    fn quick(&self) -> usize {
        self.0.iter().take_while(|(_, proposal)| proposal.quick).count()
    }
}

impl Proposal {
    /// Whether this one makes an earlier one pointless.
    pub(super) fn supersedes(&self, earlier: &Proposal) -> bool {
        match (&self.content, &earlier.content) {
            // What somebody acknowledged by its number is theirs to see through.
            (Content::Site { .. }, Content::Site { .. }) => earlier.acks.is_empty() && !earlier.quick,
            // Whoever goes back does not want what they have seen so far.
            (Content::Snapshot(_), Content::Site { .. } | Content::Data { .. }) => true,
            (Content::Data { name, .. }, Content::Data { name: other, .. }) => name == other,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_model::{Module, Site};
    use seawall_snapshot::{Ack, Cause};

    fn proposal(content: Content, quick: bool) -> Box<Proposal> {
        Box::new(Proposal { content, cause: Cause::new("test", ""), acks: Vec::new(), base: None, quick })
    }

    fn site() -> Box<Proposal> {
        let content = Content::Site {
            site: Box::new(Site::default()),
            problems: Vec::new(),
            refused_lists: Vec::new(),
            artifacts: Vec::new(),
        };
        proposal(content, false)
    }

    fn switch() -> Box<Proposal> {
        proposal(Content::Switch { module: Module::Bot, zone: None, on: false }, true)
    }

    #[test]
    fn of_configurations_the_newest_counts_and_short_orders_go_first_in_their_order() {
        let mut queue = Queue::default();
        assert!(queue.push(1, site()).is_empty());
        assert_eq!(queue.push(2, site()), [1]);
        assert!(queue.push(3, switch()).is_empty());
        assert!(queue.push(4, switch()).is_empty());
        assert_eq!(queue.orders(), [3, 4, 2]);
        assert_eq!(queue.push(5, site()), [2]);
        assert_eq!(queue.orders(), [3, 4, 5]);
    }

    #[test]
    fn what_was_acknowledged_is_not_dropped_for_a_newer_file() {
        let mut queue = Queue::default();
        let mut acked = site();
        acked.acks.push(Ack { what: "removed_zones".to_owned(), count: 3 });
        queue.push(1, acked);
        assert!(queue.push(2, site()).is_empty());
        assert_eq!(queue.orders(), [1, 2]);
    }

    #[test]
    fn going_back_makes_waiting_configurations_pointless() {
        let mut queue = Queue::default();
        queue.push(1, site());
        queue.push(2, switch());
        assert_eq!(queue.push(3, proposal(Content::Snapshot(None), true)), [1]);
        assert_eq!(queue.orders(), [2, 3], "a kill switch stays what it is");
    }

    #[test]
    fn what_made_way_is_next_after_what_it_made_way_for() {
        let mut queue = Queue::default();
        queue.push(1, site());
        queue.push(2, switch());
        queue.again((3, site()));
        assert_eq!(queue.orders(), [2, 3, 1]);
        assert_eq!(queue.pop().map(|(order, _)| order), Some(2));
    }
}
