//! The program of a page (ISO 32000-2 §8, §9.4), as far as it places text: what stands close
//! together on a line is joined, what stands apart is separated, a new line is a new line.

use std::collections::HashMap;
use std::rc::Rc;

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document as Pdf, Object, Stream};

use super::font::{Font, number};
use super::reason;
use crate::mail::finding::Unreadable;
use crate::scan::parts::Sink;
use crate::scan::read::Reader;

/// Deepest nesting of saved graphics states.
const MAX_SAVED: usize = 64;
/// Deepest nesting of form XObjects.
const MAX_FORMS_DEEP: u32 = 8;
/// Most form XObjects that are run in a document.
const MAX_FORMS: u32 = 5000;

/// A gap that separates words, in units of the font's size.
const WORD_GAP: f64 = 0.18;
/// A gap that separates columns.
const COLUMN_GAP: f64 = 2.0;
/// A step off the line that begins another.
const LINE_GAP: f64 = 0.4;

/// §8.3.3: a b c d e f.
type Matrix = [f64; 6];
const IDENTITY: Matrix = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];

fn multiply(m: &Matrix, n: &Matrix) -> Matrix {
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (*m, *n);
    [
        a * g + b * i,
        a * h + b * j,
        c * g + d * i,
        c * h + d * j,
        e * g + f * i + k,
        e * h + f * j + l,
    ]
}

/// Runs the pages of a document.
pub(super) struct Pages<'a, 'r, 'l> {
    pdf: &'a Pdf,
    reader: &'r mut Reader<'l>,
    fonts: HashMap<*const Dictionary, Rc<Font<'a>>>,
    forms: u32,
    mute: bool,
}

/// Where names in a content stream lead.
#[derive(Default)]
struct Scope<'a> {
    resources: Vec<&'a Dictionary>,
}

/// The graphics state, as far as text needs it.
#[derive(Clone)]
struct State<'a> {
    ctm: Matrix,
    font: Option<Rc<Font<'a>>>,
    size: f64,
    leading: f64,
    char_space: f64,
    word_space: f64,
}

/// What a page shows.
#[derive(Default)]
struct Shown {
    text: String,
    images: bool,
    /// Where the last string ended, and the direction and size that it was shown in.
    end: Option<(f64, f64)>,
}

struct Run<'a> {
    state: State<'a>,
    saved: Vec<State<'a>>,
    text_matrix: Matrix,
    line_matrix: Matrix,
}

impl<'a, 'r, 'l> Pages<'a, 'r, 'l> {
    pub(super) fn new(pdf: &'a Pdf, reader: &'r mut Reader<'l>) -> Self {
        Self {
            pdf,
            reader,
            fonts: HashMap::new(),
            forms: MAX_FORMS,
            mute: false,
        }
    }

    /// Reads all pages.
    pub(super) fn run(mut self) {
        let (mut any_text, mut any_page, mut bare_image) = (false, false, false);
        for id in self.pdf.page_iter() {
            any_page = true;
            let bound = self.bound();
            let content = match self.pdf.get_page_content_with_limit(id, bound) {
                Ok(content) => content,
                Err(error) => {
                    self.reader.unscannable(0, reason(&error));
                    continue;
                }
            };
            if !self.reader.expand(content.len()) {
                break;
            }
            let mut shown = Shown::default();
            let scope = self.scope_of_page(id);
            self.content(&content, &scope, IDENTITY, 0, &mut shown);
            let blank = shown.text.trim().is_empty();
            any_text |= !blank;
            bare_image |= blank && shown.images;
            self.reader.text(0, &shown.text);
        }
        if bare_image || (any_page && !any_text) {
            self.reader.unscannable(0, Unreadable::NoText);
        }
        if !any_page {
            self.reader.unscannable(0, Unreadable::Damaged);
        }
        if self.mute {
            self.reader.unscannable(0, Unreadable::Encoding);
        }
    }

    fn bound(&self) -> usize {
        usize::try_from(self.reader.expanded).unwrap_or(usize::MAX)
    }

    fn scope_of_page(&self, id: lopdf::ObjectId) -> Scope<'a> {
        let pdf = self.pdf;
        let Ok((own, inherited)) = pdf.get_page_resources(id) else {
            return Scope::default();
        };
        let inherited = inherited
            .into_iter()
            .filter_map(|id| pdf.get_dictionary(id).ok());
        Scope {
            resources: own.into_iter().chain(inherited).collect(),
        }
    }

    /// The resource `name` of `kind`.
    fn resource(&self, scope: &Scope<'a>, kind: &[u8], name: &[u8]) -> Option<&'a Object> {
        scope.resources.iter().find_map(|resources| {
            let kind = resources.get_deref(kind, self.pdf).ok()?.as_dict().ok()?;
            kind.get_deref(name, self.pdf).ok()
        })
    }

    fn font(&mut self, scope: &Scope<'a>, name: &[u8]) -> Option<Rc<Font<'a>>> {
        let dict = self.resource(scope, b"Font", name)?.as_dict().ok()?;
        let key = std::ptr::from_ref(dict);
        if let Some(font) = self.fonts.get(&key) {
            return Some(Rc::clone(font));
        }
        let font = Rc::new(Font::read(self.pdf, dict, self.bound()));
        self.fonts.insert(key, Rc::clone(&font));
        Some(font)
    }

    fn content(
        &mut self,
        content: &[u8],
        scope: &Scope<'a>,
        ctm: Matrix,
        deep: u32,
        shown: &mut Shown,
    ) {
        let mut run = Run {
            state: State {
                ctm,
                font: None,
                size: 1.0,
                leading: 0.0,
                char_space: 0.0,
                word_space: 0.0,
            },
            saved: Vec::new(),
            text_matrix: IDENTITY,
            line_matrix: IDENTITY,
        };
        let bound = usize::try_from(self.reader.text).unwrap_or(usize::MAX);
        for operation in Content::decode_iter(content) {
            let Ok(operation) = operation else {
                self.reader.unscannable(0, Unreadable::Damaged);
                return;
            };
            if shown.text.len() > bound {
                return; // the budget of text says so
            }
            self.operation(&operation, scope, deep, &mut run, shown);
        }
    }

    fn operation(
        &mut self,
        operation: &Operation,
        scope: &Scope<'a>,
        deep: u32,
        run: &mut Run<'a>,
        shown: &mut Shown,
    ) {
        let operands = operation.operands.as_slice();
        match (operation.operator.as_str(), operands) {
            ("q", _) if run.saved.len() < MAX_SAVED => run.saved.push(run.state.clone()),
            ("Q", _) => {
                if let Some(state) = run.saved.pop() {
                    run.state = state;
                }
            }
            ("cm", _) => {
                if let Some(matrix) = self.matrix(operands) {
                    run.state.ctm = multiply(&matrix, &run.state.ctm);
                }
            }
            ("BT", _) => (run.text_matrix, run.line_matrix) = (IDENTITY, IDENTITY),
            ("Tf", [Object::Name(name), size]) => {
                run.state.font = self.font(scope, name);
                run.state.size = number(self.pdf, size).unwrap_or(1.0);
                self.mute |= run.state.font.as_ref().is_some_and(|font| font.mute);
            }
            ("TL", [value]) => run.state.leading = self.number(value),
            ("Tc", [value]) => run.state.char_space = self.number(value),
            ("Tw", [value]) => run.state.word_space = self.number(value),
            ("Tm", _) => {
                if let Some(matrix) = self.matrix(operands) {
                    (run.text_matrix, run.line_matrix) = (matrix, matrix);
                }
            }
            ("Td", [x, y]) => run.step(self.number(x), self.number(y)),
            ("TD", [x, y]) => {
                run.state.leading = -self.number(y);
                run.step(self.number(x), self.number(y));
            }
            ("T*", _) => run.step(0.0, -run.state.leading),
            ("Tj", [Object::String(octets, _)]) => self.show(octets, run, shown),
            ("'", [Object::String(octets, _)]) | ("\"", [_, _, Object::String(octets, _)]) => {
                run.step(0.0, -run.state.leading);
                self.show(octets, run, shown);
            }
            ("TJ", [Object::Array(list)]) => {
                for one in list {
                    match one {
                        Object::String(octets, _) => self.show(octets, run, shown),
                        other => run.kern(self.number(other)),
                    }
                }
            }
            ("BI", _) => shown.images = true,
            ("Do", [Object::Name(name)]) => self.external(name, scope, deep, run, shown),
            _ => {}
        }
    }

    fn show(&mut self, octets: &[u8], run: &mut Run<'a>, shown: &mut Shown) {
        let font = run.state.font.as_ref();
        self.mute |= font.is_some_and(|font| font.doubtful(octets));
        run.show(octets, shown);
    }

    fn number(&self, object: &Object) -> f64 {
        number(self.pdf, object).unwrap_or_default()
    }

    fn matrix(&self, operands: &[Object]) -> Option<Matrix> {
        let numbers: Vec<f64> = operands.iter().map(|one| self.number(one)).collect();
        numbers.try_into().ok()
    }

    /// Draws a picture or runs a form (§8.10).
    fn external(
        &mut self,
        name: &[u8],
        scope: &Scope<'a>,
        deep: u32,
        run: &Run<'a>,
        shown: &mut Shown,
    ) {
        let Some(Object::Stream(stream)) = self.resource(scope, b"XObject", name) else {
            return;
        };
        match stream.dict.get(b"Subtype").and_then(Object::as_name) {
            Ok(b"Image") => shown.images = true,
            Ok(b"Form") => self.form(stream, scope, deep, run, shown),
            _ => {}
        }
    }

    fn form(
        &mut self,
        stream: &'a Stream,
        scope: &Scope<'a>,
        deep: u32,
        run: &Run<'a>,
        shown: &mut Shown,
    ) {
        if deep >= MAX_FORMS_DEEP || self.forms == 0 {
            self.reader.unscannable(0, Unreadable::TooDeep);
            return;
        }
        self.forms -= 1;
        let content = match stream.get_plain_content_with_limit(self.bound()) {
            Ok(content) => content,
            Err(error) => return self.reader.unscannable(0, reason(&error)),
        };
        if !self.reader.expand(content.len()) {
            return;
        }
        let own = stream
            .dict
            .get_deref(b"Resources", self.pdf)
            .and_then(Object::as_dict);
        let inner = Scope {
            resources: own
                .ok()
                .into_iter()
                .chain(scope.resources.iter().copied())
                .collect(),
        };
        let matrix = stream
            .dict
            .get_deref(b"Matrix", self.pdf)
            .and_then(Object::as_array)
            .ok()
            .and_then(|list| self.matrix(list))
            .unwrap_or(IDENTITY);
        let ctm = multiply(&matrix, &run.state.ctm);
        self.content(&content, &inner, ctm, deep + 1, shown);
    }
}

impl Run<'_> {
    fn step(&mut self, x: f64, y: f64) {
        self.line_matrix = multiply(&[1.0, 0.0, 0.0, 1.0, x, y], &self.line_matrix);
        self.text_matrix = self.line_matrix;
    }

    fn forward(&mut self, width: f64) {
        self.text_matrix = multiply(&[1.0, 0.0, 0.0, 1.0, width, 0.0], &self.text_matrix);
    }

    /// §9.4.3: a number in `TJ` moves back by thousandths of the size.
    fn kern(&mut self, thousandths: f64) {
        self.forward(-thousandths / 1000.0 * self.state.size);
    }

    fn show(&mut self, octets: &[u8], shown: &mut Shown) {
        let Some(font) = self.state.font.clone() else {
            let text: String = octets.iter().map(|octet| char::from(*octet)).collect();
            shown.text.push_str(&text);
            return;
        };
        self.separate(shown);
        let text = font.text(octets);
        let (codes, width) = font.advance(octets);
        let spaces = octets.iter().filter(|octet| **octet == b' ').count();
        let count = |n: usize| u32::try_from(n).map_or(f64::MAX, f64::from);
        shown.text.push_str(&text);
        self.forward(
            width * self.state.size
                + count(codes) * self.state.char_space
                + count(spaces) * self.state.word_space,
        );
        let [.., x, y] = multiply(&self.text_matrix, &self.state.ctm);
        shown.end = Some((x, y));
    }

    /// Puts between the last string and the next what stands between them on the page.
    fn separate(&self, shown: &mut Shown) {
        let [a, b, _, _, x, y] = multiply(&self.text_matrix, &self.state.ctm);
        let Some((last_x, last_y)) = shown.end else {
            return;
        };
        let stretch = a.hypot(b);
        let size = (stretch * self.state.size).abs();
        if size <= 0.0 || !size.is_finite() {
            return;
        }
        let (dx, dy) = (x - last_x, y - last_y);
        let along = (dx * a + dy * b) / stretch / size;
        let across = (dy * a - dx * b) / stretch / size;
        let spaced = shown.text.ends_with(char::is_whitespace) || shown.text.is_empty();
        if across.abs() > LINE_GAP || along < -1.0 {
            if !shown.text.ends_with('\n') {
                shown.text.push('\n');
            }
        } else if along > COLUMN_GAP {
            shown.text.push('\t');
        } else if along > WORD_GAP && !spaced {
            shown.text.push(' ');
        }
    }
}
