//! Each kind of document, as programs write it.

use sealpost::mail::finding::Unreadable;
use sealpost::scan::parts::DocumentKind::{Gzip, Pdf, Zip};

use crate::documents::{deflated, docx, gzip, odf, page, pdf, pptx, read, stream, xlsx, zip};

fn run(text: &str) -> String {
    format!("<w:r><w:rPr><w:b/></w:rPr><w:t xml:space=\"preserve\">{text}</w:t></w:r>")
}

#[test]
fn word_joins_what_it_cut_into_runs() {
    let body = format!(
        "<w:p>{}{}{}</w:p><w:p>{}</w:p>",
        run("SSN 123-"),
        run("45"),
        run("-6789"),
        run("next &amp; last")
    );
    let read = read(Zip, docx(&body, &[]));
    assert_eq!(read.texts, ["SSN 123-45-6789\nnext & last\n"]);
    assert_eq!(read.unreadable, []);
}

#[test]
fn word_reads_tables_breaks_and_everything_beside_the_body() {
    let cell = |text: &str| format!("<w:tc><w:p>{}</w:p></w:tc>", run(text));
    let body = format!(
        "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}</w:tr></w:tbl>\
         <w:p><w:r><w:t>12</w:t><w:noBreakHyphen/><w:t>34</w:t><w:tab/><w:t>5</w:t><w:br/><w:t>6</w:t></w:r></w:p>\n\
         <w:p>\n  <w:r>\n    <w:t>7</w:t>\n  </w:r>\n  <w:r><w:t>8</w:t></w:r>\n</w:p>",
        cell("Name"),
        cell("SSN"),
        cell("A. Doe"),
        cell("123-45-6789")
    );
    let others: &[(&str, &[u8])] = &[
        (
            "word/header1.xml",
            b"<w:hdr><w:p><w:r><w:t>in the header</w:t></w:r></w:p></w:hdr>",
        ),
        (
            "word/footnotes.xml",
            b"<w:footnotes><w:p><w:r><w:t>in a note</w:t></w:r></w:p></w:footnotes>",
        ),
        (
            "word/comments.xml",
            b"<w:comments><w:p><w:r><w:t>in a comment</w:t></w:r></w:p></w:comments>",
        ),
        (
            "docProps/core.xml",
            b"<cp:coreProperties><dc:title>the title</dc:title></cp:coreProperties>",
        ),
        ("word/media/image1.png", b"\x89PNG\r\n\x1A\n"),
        (
            "word/styles.xml",
            b"<w:document><w:p><w:r><w:t>under a false name</w:t></w:r></w:p></w:document>",
        ),
        (
            "odd/name.xml",
            b"<w:document><w:p><w:r><w:t>under an odd name</w:t></w:r></w:p></w:document>",
        ),
    ];
    let read = read(Zip, docx(&body, others));
    assert_eq!(
        read.texts[0],
        "Name\tSSN\t\nA. Doe\t123-45-6789\t\n12-34\t5\n6\n78\n"
    );
    for text in [
        "in the header",
        "in a note",
        "in a comment",
        "the title",
        "under an odd name",
        "under a false name",
    ] {
        assert!(read.says(text), "{text}: {read:?}");
    }
    assert_eq!(read.unreadable, [], "a picture beside text is fine");
}

#[test]
fn word_reads_what_is_embedded() {
    let sheet = xlsx(
        "<row><c r=\"A1\" t=\"inlineStr\"><is><t>deep 123-45-6789</t></is></c></row>",
        &[],
    );
    let others: &[(&str, &[u8])] = &[("word/embeddings/Microsoft_Excel_Sheet.xlsx", &sheet)];
    let read = read(Zip, docx("<w:p/>", others));
    assert!(read.says("deep 123-45-6789"), "{read:?}");
}

#[test]
fn text_in_a_package_is_read_whatever_it_is_called() {
    for name in [
        "word/media/image1.png",
        "word/fonts/font1.ttf",
        "word/fonts/font1.odttf",
        "word/activeX/activeX1.bin",
        "docProps/thumbnails/t.jpeg",
        "xl/worksheets/sheet9.bin",
        "word/vbaProject.bin",
        "mimetype",
    ] {
        let others: &[(&str, &[u8])] = &[(name, b"SSN 123-45-6789")];
        let read = read(Zip, docx("<w:p/>", others));
        assert!(read.says("SSN 123-45-6789"), "{name}: {read:?}");
    }
}

#[test]
fn names_in_an_archive_are_all_read() {
    let names: Vec<String> = (0..900)
        .map(|at| format!("{at}-{}", "n".repeat(400)))
        .collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let read = read(Zip, zip(&members));
    for name in &names {
        assert!(read.says(name), "{name}");
    }
    assert_eq!(read.unreadable, []);
}

#[test]
fn a_scan_in_a_word_document_has_no_text() {
    let others: &[(&str, &[u8])] = &[("word/media/image1.jpeg", b"\xFF\xD8\xFF")];
    assert_eq!(
        read(Zip, docx("<w:p/>", others)).unreadable,
        [Unreadable::NoText]
    );
}

#[test]
fn sheets_keep_their_columns() {
    let strings = b"<sst><si><t>Name</t></si><si><r><t>S</t></r><r><t>SN</t></r></si><si><t>A. Doe</t></si><si><t>nowhere shown</t></si></sst>";
    let styles = b"<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"000\\-00\\-0000\"/></numFmts>\
        <cellStyleXfs><xf numFmtId=\"0\"/></cellStyleXfs>\
        <cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/><xf numFmtId=\"164\"/></cellXfs></styleSheet>";
    let sheet = "<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"C1\" t=\"s\"><v>1</v></c><c r=\"D1\" t=\"str\"><v>DOB</v></c></row>\
        <row r=\"2\"><c r=\"A2\" t=\"s\"><v>2</v></c><c r=\"B2\"/><c r=\"C2\" s=\"2\"><v>123456789</v></c><c r=\"D2\" s=\"1\"><v>29221</v></c><c r=\"E2\"><v>1.23456789E8</v></c></row>";
    let others: &[(&str, &[u8])] = &[("xl/sharedStrings.xml", strings), ("xl/styles.xml", styles)];
    let read = read(Zip, xlsx(sheet, others));
    assert_eq!(
        read.texts,
        [
            "Name\t\tSSN\tDOB\nA. Doe\t\t123-45-6789\t1980-01-01\t123456789\n",
            "nowhere shown\n"
        ]
    );
}

#[test]
fn pivot_caches_keep_the_rows_of_a_sheet_that_is_gone() {
    let definition = b"<pivotCacheDefinition><cacheSource/><cacheFields count=\"4\">\
        <cacheField name=\"Name\" numFmtId=\"0\"><sharedItems count=\"2\"><s v=\"Jane &amp; Doe\"/><m/><s v=\"Roe\"/></sharedItems></cacheField>\
        <cacheField name=\"SSN\"><sharedItems containsNumber=\"1\"/></cacheField>\
        <cacheField name=\"DOB\" caption=\"Born\"><sharedItems/></cacheField>\
        </cacheFields></pivotCacheDefinition>";
    let records =
        b"<pivotCacheRecords><r><x v=\"0\"/><n v=\"219091234\"/><d v=\"1980-01-01T00:00:00\"/></r>\
        <r><x v=\"2\"/><s v=\"219-09-1235\"/><m/></r></pivotCacheRecords>";
    // The records stand before their definition: the order of an archive says nothing.
    let others: &[(&str, &[u8])] = &[
        ("xl/pivotCache/pivotCacheRecords3.xml", records),
        ("xl/pivotCache/pivotCacheDefinition3.xml", definition),
    ];
    let read = read(Zip, xlsx("", others));
    assert_eq!(
        read.texts,
        [
            "Name\nJane & Doe\nRoe\nSSN\nDOB\nBorn\n",
            "Name\tSSN\tDOB\t\nJane & Doe\t219091234\t1980-01-01\t\nRoe\t219-09-1235\t\t\n",
        ]
    );
    assert_eq!(read.unreadable, []);
}

#[test]
fn slides_and_opendocument_are_read() {
    let slide = "<a:p><a:r><a:t>123-</a:t></a:r><a:r><a:t>45-6789</a:t></a:r></a:p><a:p><a:r><a:t>x</a:t></a:r></a:p>";
    assert_eq!(read(Zip, pptx(slide)).texts, ["123-45-6789\nx\n"]);
    let text = "<office:text>\n <text:p>SSN 123-<text:span>45</text:span>-6789<text:s text:c=\"2\"/>x<text:line-break/>y</text:p></office:text>";
    assert_eq!(
        read(Zip, odf("text", text)).texts,
        ["SSN 123-45-6789  x\ny\n"]
    );
    let sheet = "<table:table><table:table-row><table:table-cell><text:p>Name</text:p></table:table-cell>\
        <table:table-cell table:number-columns-repeated=\"2\"/><table:table-cell><text:p>SSN</text:p></table:table-cell></table:table-row></table:table>";
    assert_eq!(
        read(Zip, odf("spreadsheet", sheet)).texts,
        ["Name\t\t\tSSN\t\n"]
    );
}

#[test]
fn pdf_pages_are_read_as_they_look() {
    let content = b"BT /F1 12 Tf 72 700 Td (SSN 123-45-) Tj (6789) Tj ET\n\
        BT /F1 12 Tf 72 680 Td [(12) -30 (3) -600 (apart)] TJ ET\n\
        BT /F1 12 Tf 14 TL 72 660 Td (line one) Tj T* (line two) Tj (quoted) ' ET\n\
        BT /F1 12 Tf 1 0 0 1 72 600 Tm (Name) Tj 1 0 0 1 300 600 Tm (DOB) Tj ET";
    for content in [stream("", content), deflated("", content)] {
        let read = read(Pdf, page(content, &[]));
        assert_eq!(
            read.texts,
            ["SSN 123-45-6789\n123 apart\nline one\nline two\nquoted\nName\tDOB"]
        );
        assert_eq!(read.unreadable, []);
    }
}

#[test]
fn pdf_letters_placed_one_by_one_are_words() {
    let mut content = String::from("BT /F1 10 Tf ");
    let mut x = 72.0;
    for digit in "123-45-6789".chars() {
        content.push_str(&format!("1 0 0 1 {x:.2} 700 Tm ({digit}) Tj "));
        x += if digit == '-' { 3.33 } else { 5.56 };
    }
    content.push_str("ET");
    let read = read(Pdf, page(stream("", content.as_bytes()), &[]));
    assert_eq!(read.texts, ["123-45-6789"]);
}

#[test]
fn pdf_codes_mean_what_their_map_says() {
    let cmap = b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n\
        /CMapName /X def /CMapType 2 def\n\
        1 begincodespacerange <0000> <FFFF> endcodespacerange\n\
        2 beginbfrange <0010> <0019> <0030> <0020> <0020> <002D> endbfrange\n\
        endcmap CMapName currentdict /CMap defineresource pop end end";
    let font = b"<< /Type /Font /Subtype /Type0 /BaseFont /AAAAAA+X /Encoding /Identity-H \
        /DescendantFonts [<< /Type /Font /Subtype /CIDFontType2 /DW 556 /W [32 [333]] >>] /ToUnicode 8 0 R >>";
    let form = stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9]",
        b"BT /F1 9 Tf 72 500 Td (in a form) Tj ET",
    );
    let content = b"BT /F2 10 Tf 72 700 Td <001100120013002000140015002000160017> Tj ET /X1 Do";
    let document = page(
        deflated("", content),
        &[font.to_vec(), form, deflated("", cmap)],
    );
    let read = read(Pdf, document);
    assert_eq!(read.texts, ["123-45-67\nin a form"]);
    assert_eq!(read.unreadable, []);
}

#[test]
fn pdf_codes_that_only_the_font_knows_are_said() {
    let read_with = |font: &[u8], shown: &[u8]| {
        let content = [b"BT /F2 10 Tf 72 700 Td (", shown, b") Tj ET"].concat();
        let file = stream("", b"x");
        let described = b"<< /Type /FontDescriptor /Flags 4 /FontFile2 7 0 R >>".to_vec();
        read(
            Pdf,
            page(stream("", &content), &[font.to_vec(), file, described]),
        )
    };
    let subset = b"<< /Type /Font /Subtype /TrueType /BaseFont /AAAAAA+X /FontDescriptor 8 0 R >>";
    assert_eq!(
        read_with(subset, b"!\"#$").unreadable,
        [Unreadable::Encoding]
    );
    let drawn = b"<< /Type /Font /Subtype /Type3 /Encoding << /Type /Encoding \
        /Differences [33 /g1 /g2 65 /one /two.sc /uni0033 /hyphen /.notdef] >> >>";
    assert_eq!(read_with(drawn, b"!!").unreadable, [Unreadable::Encoding]);
    // What is known is read, whatever else the font holds.
    let known = read_with(drawn, b"ABCDE");
    assert_eq!(known.texts, ["123-"]);
    assert_eq!(known.unreadable, []);
    let coded = b"<< /Type /Font /Subtype /TrueType /BaseFont /AAAAAA+X /FontDescriptor 8 0 R \
        /Encoding /WinAnsiEncoding >>";
    let known = read_with(coded, b"123-45-6789");
    assert_eq!(known.texts, ["123-45-6789"]);
    assert_eq!(known.unreadable, []);
}

#[test]
fn pdf_forms_notes_and_files_are_read() {
    let document = pdf(&[
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R] >> >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> \
          /Annots [<< /Type /Annot /Subtype /Text /Contents (in a note) >>] >>"
            .to_vec(),
        stream("", b"BT /F1 9 Tf (on the page) Tj ET"),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_vec(),
        b"<< /FT /Tx /T (ssn) /V <FEFF00310032> >>".to_vec(),
        stream("/Type /EmbeddedFile", b"in a file"),
    ]);
    let read = read(Pdf, document);
    for text in ["in a note", "12\n", "in a file", "on the page"] {
        assert!(read.says(text), "{text}: {read:?}");
    }
}

#[test]
fn pdf_files_and_values_are_found_by_what_refers_to_them() {
    let inner = zip(&[("a.txt", b"in the zip")]);
    let document = pdf(&[
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R 7 0 R 12 0 R] >> \
          /Names << /EmbeddedFiles << /Names [(a) << /F (Doe 1234.txt) /EF << /F 8 0 R /UF 9 0 R >> \
          /RF << /F [(b) 14 0 R] >> >>] >> >> >>"
            .to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_vec(),
        stream("", b"BT /F1 9 Tf (on the page) Tj ET"),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_vec(),
        b"<< /FT /Tx /V 10 0 R >>".to_vec(),
        b"<< /FT /Ch /V [(chosen one) 11 0 R] /Opt [[(x) (offered)]] >>".to_vec(),
        deflated("", b"in a file without type"),
        deflated("", &inner),
        b"(value elsewhere)".to_vec(),
        b"(chosen elsewhere)".to_vec(),
        b"<< /FT /Tx /V 13 0 R >>".to_vec(),
        deflated("", b"value in a stream"),
        stream("", b"a related file"),
    ]);
    let read = read(Pdf, document);
    for text in [
        "in a file without type",
        "in the zip",
        "value elsewhere",
        "chosen one",
        "chosen elsewhere",
        "offered",
        "value in a stream",
        "a related file",
        "Doe 1234.txt",
        "on the page",
    ] {
        assert!(read.says(text), "{text}: {read:?}");
    }
    let programs = read.texts.iter().filter(|text| text.contains(" Tf "));
    assert_eq!(programs.count(), 0, "a page's program is no text");
    assert_eq!(read.unreadable, []);
}

#[test]
fn a_scanned_page_has_no_text() {
    let image = stream(
        "/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8",
        b"x",
    );
    let font = b"<< >>".to_vec();
    let scanned = page(
        stream("", b"q 612 0 0 792 0 0 cm /X1 Do Q"),
        &[font.clone(), image.clone()],
    );
    assert_eq!(read(Pdf, scanned).unreadable, [Unreadable::NoText]);
    let both = page(
        stream("", b"/X1 Do BT /F1 9 Tf (caption) Tj ET"),
        &[font, image],
    );
    assert_eq!(read(Pdf, both).unreadable, []);
    assert_eq!(
        read(Pdf, page(stream("", b""), &[])).unreadable,
        [Unreadable::NoText]
    );
}

#[test]
fn archives_hold_anything() {
    let word = docx("<w:p><w:r><w:t>in word</w:t></w:r></w:p>", &[]);
    let inner = zip(&[("a.txt", b"in the inner archive")]);
    let outer = zip(&[
        ("Doe 123-45-6789.txt", b"plain"),
        ("b.docx", &word),
        ("c.zip", &inner),
        ("d.eml", b"Subject: in the subject\r\n\r\nin the body"),
        ("e.html", b"<p>in<b></b>side</p>"),
        ("f.csv.gz", &gzip(b"in,gzip")),
        ("g.png", b"\x89PNG\r\n\x1A\n"),
        ("dir/", b""),
    ]);
    let read = read(Zip, outer);
    for text in [
        "Doe 123-45-6789.txt",
        "plain",
        "in word",
        "in the inner archive",
        "in the subject",
        "in the body",
        "inside",
        "in,gzip",
    ] {
        assert!(read.says(text), "{text}: {read:?}");
    }
    assert_eq!(read.unreadable, [Unreadable::Media]);
    assert!(read.heads >= 7, "{}", read.heads);
    let alone = crate::documents::read(Gzip, gzip(b"alone"));
    assert!(alone.says("alone"), "{alone:?}");
}
