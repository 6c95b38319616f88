//! Choosing an origin: policies, health, ejection, budgets, adaptive limits; pure
