//! The data plane: workers, exchange, cache, pools, logs
