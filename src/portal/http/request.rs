//! A request as a site gets it, and what a site says of a route before.

use std::fmt;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::head::{Head, Method};
use super::limits::Slot;
use super::pairs::Pairs;

/// What a route may be asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// GET and HEAD.
    Get,
    /// POST.
    Post,
    /// GET, HEAD and POST.
    Both,
}

impl Methods {
    /// Whether a method is among them.
    pub const fn allow(self, method: Method) -> bool {
        matches!(
            (self, method),
            (Self::Both, _) | (Self::Get, Method::Get) | (Self::Post, Method::Post)
        )
    }

    /// The value of `Allow`.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
            Self::Both => "GET, HEAD, POST",
        }
    }
}

/// What the body of a POST may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLimit {
    /// None.
    None,
    /// A form (`application/x-www-form-urlencoded`) of so many octets.
    Form(usize),
    /// A form with files (`multipart/form-data`); a form without files is taken too.
    Upload {
        /// Octets of all files together.
        octets: usize,
        /// Files.
        files: usize,
        /// Fields that are no files.
        fields: usize,
    },
}

/// What a site says of a request's route before its body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// What the access log calls it: a pattern such as `/message/{reference}`, never the path.
    pub pattern: &'static str,
    /// What it may be asked with; else 405.
    pub methods: Methods,
    /// What may be posted to it.
    pub body: BodyLimit,
    /// Whether it answers with a file, which takes long to send: such answers are counted.
    pub download: bool,
}

impl Route {
    /// The route of a path that leads nowhere. A POST to it is 405, a GET the site's 404.
    pub const NOWHERE: Self = Self::page("-");

    /// A route that is only read.
    pub const fn page(pattern: &'static str) -> Self {
        Self {
            pattern,
            methods: Methods::Get,
            body: BodyLimit::None,
            download: false,
        }
    }

    /// A route that is read and takes a form.
    pub const fn form(pattern: &'static str, octets: usize) -> Self {
        Self {
            pattern,
            methods: Methods::Both,
            body: BodyLimit::Form(octets),
            download: false,
        }
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// All but the body.
    pub head: Head,
    /// The body.
    pub body: Body,
}

impl Request {
    /// A field of the form, with or without files, that occurs exactly once.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.body.fields()?.get(name)
    }
}

/// The body of a request.
#[derive(Debug)]
pub enum Body {
    /// None.
    None,
    /// A form.
    Form(Pairs),
    /// A form with files.
    Upload(Upload),
}

impl Body {
    /// The form's fields.
    pub fn fields(&self) -> Option<&Pairs> {
        match self {
            Self::None => None,
            Self::Form(fields) => Some(fields),
            Self::Upload(upload) => Some(&upload.fields),
        }
    }

    /// The form's files.
    pub fn files(&self) -> &[File] {
        match self {
            Self::None | Self::Form(_) => &[],
            Self::Upload(upload) => &upload.files,
        }
    }
}

/// A form with files, all in memory. Holds its share of the server's memory for uploads until it
/// is dropped: do not keep it for longer than the request.
#[derive(Debug, Default)]
pub struct Upload {
    /// What is no file.
    pub fields: Pairs,
    /// The files, in order; a file field that was left empty is none.
    pub files: Vec<File>,
    /// The files were more than the route takes: none of them is here, and what follows them in
    /// the form is not either. To be refused.
    pub over: Option<Over>,
    pub(super) held: Option<Held>,
}

/// Of what there was too much in a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Octets of files.
    Octets,
    /// Files.
    Files,
}

/// What a body holds of the server's memory.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) units: Option<OwnedSemaphorePermit>,
    pub(super) share: Option<Slot>,
}

/// A file of a form.
#[derive(Clone)]
pub struct File {
    /// The form's name for it.
    pub field: String,
    /// What the client calls it: a stranger's text, perhaps a path. Possibly empty.
    pub name: String,
    /// What the client says it is. Possibly empty.
    pub media_type: String,
    /// The octets.
    pub octets: Bytes,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({} octets)", self.octets.len())
    }
}
