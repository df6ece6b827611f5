//! HTTP: listener, requests, answers, limits.
