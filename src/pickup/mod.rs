//! The line's way to the portal: leaves messages there and takes them back.
