//! The portal's way in: what it asks the line to send and to log.
