//! The detectors: text in, findings out. Pure.
