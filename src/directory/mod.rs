//! Who is known here: submission accounts.
