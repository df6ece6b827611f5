//! What the portal owes the line, kept until it is taken.
