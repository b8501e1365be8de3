//! End-to-end, crash, bypass, compile-fail and tidy tests.
