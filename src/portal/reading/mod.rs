//! A message made readable: text, cleaned HTML, attachments.
