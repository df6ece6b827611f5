//! A world to try things in: DNS, MX hosts and a CA of its own.
