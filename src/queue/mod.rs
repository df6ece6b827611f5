//! Recipient states, schedule and limits. Pure: time and inputs in, outputs out.
