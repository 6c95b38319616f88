//! Configuration file to validated documents, every problem at once
