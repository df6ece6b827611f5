//! PDF (ISO 32000).
use super::Reader;
use crate::scan::parts::Document;

impl Reader<'_> {
    pub(super) fn pdf(&mut self, document: &Document) {
        let _ = document;
    }
}
