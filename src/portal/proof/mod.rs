//! Who somebody is: factors, codes, accounts, sessions, throttling.
