//! Cache storage: memory and disk tiers, purge marks, fills shared by waiters
