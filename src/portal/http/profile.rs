//! The fields that every answer carries, by what it is. Pure.
//!
//! `Referrer-Policy` is `same-origin`, not `no-referrer`: under the latter browsers send
//! `Origin: null` with the POST of our own forms (Fetch, "append a request Origin header"; seen in
//! Chromium 156), and the guard against cross-site posts would have to believe `null`. Nothing
//! leaves for other origins under either; and no address of ours holds a secret.

/// What an answer is, which decides what a browser may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// A page of ours.
    Page {
        /// It runs our own script (passkeys).
        script: bool,
        /// It shows mail HTML in a frame.
        frame: bool,
    },
    /// A stranger's HTML, cleaned, for a sandboxed frame of ours.
    MailFrame,
    /// A file to be saved.
    Download,
    /// A picture, shown by our pages.
    Image,
    /// Style, script, logo: public, and at an address made of its content.
    Asset,
    /// The same at a fixed address.
    FixedAsset,
    /// Nothing to look at: JSON, text, redirects.
    Data,
}

const PAGE: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
                    frame-ancestors 'none'; base-uri 'none'";
/// Nothing is loaded from anywhere but pictures that the cleaner left, as `data:`, and our own style
/// sheet; the cleaner takes styles out, and what it missed would not count.
const MAIL_FRAME: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
                          style-src 'self'; img-src 'self' data:; frame-ancestors 'self'; \
                          base-uri 'none'; form-action 'none'";
/// For what is only a file or a picture: even if it is opened as a page, it can do nothing.
const INERT: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";
const NO_FEATURES: &str = "accelerometer=(), autoplay=(), browsing-topics=(), \
                           camera=(), display-capture=(), fullscreen=(), geolocation=(), \
                           gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), \
                           payment=(), serial=(), usb=()";

impl Profile {
    /// `Content-Security-Policy`.
    pub(super) fn content_security_policy(self) -> String {
        match self {
            Self::Page { script, frame } => {
                let mut policy = PAGE.to_owned();
                if script {
                    policy.push_str("; script-src 'self'");
                }
                if frame {
                    policy.push_str("; frame-src 'self'");
                }
                policy
            }
            Self::MailFrame => MAIL_FRAME.to_owned(),
            Self::Download | Self::Image | Self::Asset | Self::FixedAsset | Self::Data => {
                INERT.to_owned()
            }
        }
    }

    /// `Cache-Control`.
    pub(super) const fn cache_control(self) -> &'static str {
        match self {
            Self::Asset => "public, max-age=31536000, immutable",
            Self::FixedAsset => "public, max-age=86400",
            Self::Page { .. } | Self::MailFrame | Self::Download | Self::Image | Self::Data => {
                "no-store"
            }
        }
    }

    /// `Vary`: what a page depends on.
    pub(super) const fn vary(self) -> Option<&'static str> {
        match self {
            Self::Asset | Self::FixedAsset => None,
            Self::Page { .. } | Self::MailFrame | Self::Download | Self::Image | Self::Data => {
                Some("Cookie, Accept-Language")
            }
        }
    }

    /// `Permissions-Policy`.
    pub(super) fn permissions_policy(self) -> String {
        let passkeys = match self {
            Self::Page { script: true, .. } => "self",
            _ => "",
        };
        format!(
            "{NO_FEATURES}, publickey-credentials-get=({passkeys}), \
             publickey-credentials-create=({passkeys})"
        )
    }

    /// `X-Frame-Options`, for phones that do not know `frame-ancestors`.
    pub(super) const fn frame_options(self) -> &'static str {
        match self {
            Self::MailFrame => "SAMEORIGIN",
            _ => "DENY",
        }
    }

    /// `Cross-Origin-Resource-Policy`. Style, script and logo are public, and the sandboxed frame,
    /// whose origin is none, must be able to load its style sheet.
    pub(super) const fn resource_policy(self) -> &'static str {
        match self {
            Self::Asset | Self::FixedAsset => "cross-origin",
            _ => "same-origin",
        }
    }

    /// The fields that are the same for all.
    pub(super) const FIXED: [(&'static str, &'static str); 5] = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("origin-agent-cluster", "?1"),
        ("x-robots-tag", "noindex, nofollow, noarchive"),
    ];
}
