//! Documents made for the tests: small, synthetic, as programs write them.

use std::io::{Cursor, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use sealpost::mail::finding::Unreadable;
use sealpost::scan::Limits;
use sealpost::scan::parts::{Document, DocumentKind, Sink};

/// What was read of a document.
#[derive(Debug, Default)]
pub struct Read {
    pub texts: Vec<String>,
    pub unreadable: Vec<Unreadable>,
    pub heads: usize,
}

impl Read {
    pub fn says(&self, text: &str) -> bool {
        self.texts.iter().any(|one| one.contains(text))
    }
}

impl Sink for Read {
    fn text(&mut self, part: u32, text: &str) {
        assert_eq!(part, 0);
        self.texts.push(text.to_owned());
    }
    fn octets(&mut self, _part: u32, _octets: &[u8]) {
        self.heads += 1;
    }
    fn document(&mut self, document: Document) {
        panic!("left unread: {document:?}");
    }
    fn unscannable(&mut self, _part: u32, why: Unreadable) {
        if !self.unreadable.contains(&why) {
            self.unreadable.push(why);
        }
    }
}

pub fn document(kind: DocumentKind, octets: impl Into<Bytes>) -> Document {
    Document {
        part: 0,
        kind,
        depth: 0,
        octets: octets.into(),
    }
}

pub fn read_with(kind: DocumentKind, octets: impl Into<Bytes>, limits: &Limits) -> Read {
    let mut read = Read::default();
    sealpost::scan::read::read(document(kind, octets), limits, &mut read);
    read
}

pub fn read(kind: DocumentKind, octets: impl Into<Bytes>) -> Read {
    read_with(kind, octets, &Limits::default())
}

pub fn zip_with(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, octets) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(octets).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(members, CompressionMethod::Deflated)
}

pub fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

const TYPES: &str = "<?xml version=\"1.0\"?><Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>";

/// A Word document with `body` as its body, and other parts.
pub fn docx(body: &str, others: &[(&str, &[u8])]) -> Vec<u8> {
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n\
         <w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\">\
         <w:body>{body}</w:body></w:document>"
    );
    let mut members: Vec<(&str, &[u8])> = vec![
        ("[Content_Types].xml", TYPES.as_bytes()),
        ("word/document.xml", document.as_bytes()),
    ];
    members.extend_from_slice(others);
    zip(&members)
}

pub fn xlsx(sheet: &str, others: &[(&str, &[u8])]) -> Vec<u8> {
    let sheet = format!("<worksheet><sheetData>{sheet}</sheetData></worksheet>");
    let mut members: Vec<(&str, &[u8])> = vec![
        ("[Content_Types].xml", TYPES.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ];
    members.extend_from_slice(others);
    zip(&members)
}

pub fn pptx(slide: &str) -> Vec<u8> {
    let slide = format!("<p:sld xmlns:p=\"p\" xmlns:a=\"a\"><p:txBody>{slide}</p:txBody></p:sld>");
    zip(&[
        ("[Content_Types].xml", TYPES.as_bytes()),
        ("ppt/slides/slide1.xml", slide.as_bytes()),
    ])
}

pub fn odf(kind: &str, content: &str) -> Vec<u8> {
    let content = format!(
        "<office:document-content><office:body>{content}</office:body></office:document-content>"
    );
    let mimetype = format!("application/vnd.oasis.opendocument.{kind}");
    zip(&[
        ("mimetype", mimetype.as_bytes()),
        ("content.xml", content.as_bytes()),
        ("META-INF/manifest.xml", b"<manifest/>"),
    ])
}

/// A PDF from its objects, numbered from 1; the first is the catalog.
pub fn pdf(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"%PDF-1.7\n".to_vec();
    let mut places = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.extend_from_slice(format!("{} 0 obj\n", at + 1).as_bytes());
        out.extend_from_slice(object);
        out.extend_from_slice(b"\nendobj\n");
    }
    let start = out.len();
    out.extend_from_slice(
        format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).as_bytes(),
    );
    for place in places {
        out.extend_from_slice(format!("{place:010} 00000 n \n").as_bytes());
    }
    let trailer = format!(
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    );
    out.extend_from_slice(trailer.as_bytes());
    out
}

pub fn stream(dict: &str, octets: &[u8]) -> Vec<u8> {
    let head = format!("<< {dict} /Length {} >>\nstream\n", octets.len());
    [head.as_bytes(), octets, b"\nendstream"].concat()
}

pub fn deflated(dict: &str, octets: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(octets).unwrap();
    stream(
        &format!("{dict} /Filter /FlateDecode"),
        &encoder.finish().unwrap(),
    )
}

/// A page with Helvetica as F1 and `content`, and more objects from number 6.
pub fn page(content: Vec<u8>, more: &[Vec<u8>]) -> Vec<u8> {
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
          /Resources << /Font << /F1 5 0 R /F2 6 0 R >> /XObject << /X1 7 0 R >> >> >>"
            .to_vec(),
        content,
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_vec(),
    ];
    objects.extend_from_slice(more);
    pdf(&objects)
}
