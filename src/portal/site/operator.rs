//! Who runs the portal, as the pages show it: name, logo, colour, imprint, and the files that
//! every page loads.
//!
//! Owns the style sheet with the operator's colour worked into it. The colour is made readable: on
//! every ground that it is used on, its contrast is at least [`LEAST_CONTRAST`] (WCAG 2.2 AA).
//! Pure; whoever reads the configuration hands the octets of the logo in.

use bytes::Bytes;

use crate::portal::http::{AssetKind, Assets};

/// Least contrast of text and of what stands for text (WCAG 2.2, 1.4.3).
pub const LEAST_CONTRAST: f64 = 4.5;
/// The same on dark ground, where a little more is pleasant to read.
const DARK_CONTRAST: f64 = 6.5;
/// Most octets of a logo: it is loaded with every page.
pub const MAX_LOGO_OCTETS: usize = 32 * 1024;
/// The colour where the operator names none.
pub const DEFAULT_COLOUR: Colour = Colour([0x17, 0x5c, 0x73]);

const STYLE: &str = include_str!("static/portal.css");
const LETTER: &str = include_str!("static/letter.css");
const SCRIPT: &str = include_str!("static/passkey.js");
const ROBOTS: &str = "User-agent: *\nDisallow: /\n";

/// The grounds that the pages have: what stands in `portal.css`.
const PAGE_LIGHT: Colour = Colour([0xf3, 0xf4, 0xf6]);
const CARD_DARK: Colour = Colour([0x1d, 0x23, 0x2c]);
const INK_DARK: Colour = Colour([0x10, 0x14, 0x1a]);
const WHITE: Colour = Colour([0xff, 0xff, 0xff]);

/// A colour, red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// Reads `#rrggbb`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Self([red, green, blue]))
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            match part <= 0.04045 {
                true => part / 12.92,
                false => ((part + 0.055) / 1.055).powf(2.4),
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// Contrast ratio of two colours, 1 to 21.
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// The first of the colours on the way to `towards` that has so much contrast to `ground`.
    fn readable(self, ground: Self, towards: Self, least: f64) -> Self {
        (0..=100u16)
            .map(|percent| self.mixed(towards, percent))
            .find(|colour| colour.contrast(ground) >= least)
            .unwrap_or(towards)
    }

    fn mixed(self, other: Self, percent: u16) -> Self {
        let mut out = self.0;
        for (part, goal) in out.iter_mut().zip(other.0) {
            let sum = u16::from(*part) * (100 - percent) + u16::from(goal) * percent;
            *part = u8::try_from(sum / 100).unwrap_or(u8::MAX);
        }
        Self(out)
    }

    fn css(self) -> String {
        let [red, green, blue] = self.0;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }
}

/// The operator's colour as it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    /// Links and, under white text, buttons: on light ground.
    pub light: Colour,
    /// The same where the pointer is.
    pub light_strong: Colour,
    /// Links and, under dark text, buttons: on dark ground.
    pub dark: Colour,
    /// The same where the pointer is.
    pub dark_strong: Colour,
}

impl Palette {
    /// Makes a colour readable.
    pub fn of(colour: Colour) -> Self {
        let black = Colour([0, 0, 0]);
        // What is readable on the page's grey is so on white, and white is so on it.
        let light = colour.readable(PAGE_LIGHT, black, LEAST_CONTRAST);
        // On the lighter of the dark grounds; the ink of a button is darker still.
        let dark = colour.readable(CARD_DARK, WHITE, DARK_CONTRAST);
        let dark = dark.readable(INK_DARK, WHITE, DARK_CONTRAST);
        Self {
            light,
            light_strong: light.mixed(black, 20),
            dark,
            dark_strong: dark.mixed(WHITE, 30),
        }
    }
}

/// A picture of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    /// What it is.
    pub kind: AssetKind,
    /// The octets.
    pub octets: Bytes,
}

impl Logo {
    /// Knows a picture by its first octets; `None` for one of another kind, or a large one.
    pub fn of(octets: Bytes) -> Option<Self> {
        let kind = match octets.get(..5)? {
            [0x89, b'P', b'N', b'G', ..] => AssetKind::Png,
            [0xff, 0xd8, 0xff, ..] => AssetKind::Jpeg,
            b"<svg " | b"<?xml" => AssetKind::Svg,
            _ => return None,
        };
        (octets.len() <= MAX_LOGO_OCTETS).then_some(Self { kind, octets })
    }
}

/// What the law wants to be said about who runs a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imprint {
    /// On another page.
    At(String),
    /// In the portal: lines, in paragraphs between empty ones.
    Text(String),
}

/// What an operator says of itself.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Where the portal is: `https://host[:port]`.
    pub origin: String,
    /// Its picture.
    pub logo: Option<Logo>,
    /// Its colour.
    pub colour: Option<Colour>,
    /// Its imprint.
    pub imprint: Option<Imprint>,
    /// Whether outsiders may begin a message.
    pub writable: bool,
}

/// Who runs the portal, made ready for the pages.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Its name.
    pub name: String,
    /// Where the portal is.
    pub origin: String,
    /// Its imprint.
    pub imprint: Option<Imprint>,
    /// Whether outsiders may begin a message.
    pub writable: bool,
    style: String,
    letter: String,
    script: String,
    icon: String,
    logo: Option<String>,
}

impl Operator {
    /// Works the colour in; the files that pages load go to `assets`.
    pub fn new(identity: Identity, assets: &mut Assets) -> Self {
        let palette = Palette::of(identity.colour.unwrap_or(DEFAULT_COLOUR));
        let style = STYLE
            .replace("$light-strong", &palette.light_strong.css())
            .replace("$dark-strong", &palette.dark_strong.css())
            .replace("$light", &palette.light.css())
            .replace("$dark", &palette.dark.css());
        let icon = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" \
             height=\"32\" rx=\"7\" fill=\"{}\"/><path d=\"M7 10h18v12H7z M7 10l9 7 9-7\" \
             fill=\"none\" stroke=\"#fff\" stroke-width=\"2.4\" stroke-linejoin=\"round\"/></svg>",
            palette.light.css()
        );
        assets.add_at("/robots.txt", AssetKind::Text, ROBOTS);
        assets.add_at("/favicon.ico", AssetKind::Svg, icon.clone());
        let logo = identity.logo.map(|logo| {
            let name = match logo.kind {
                AssetKind::Jpeg => "logo.jpg",
                AssetKind::Svg => "logo.svg",
                _ => "logo.png",
            };
            assets.add(name, logo.kind, logo.octets)
        });
        Self {
            name: identity.name,
            origin: identity.origin,
            imprint: identity.imprint,
            writable: identity.writable,
            style: assets.add("portal.css", AssetKind::Css, style),
            letter: assets.add("letter.css", AssetKind::Css, LETTER),
            script: assets.add("passkey.js", AssetKind::Script, SCRIPT),
            icon: assets.add("icon.svg", AssetKind::Svg, icon),
            logo,
        }
    }

    /// The style sheet's path.
    pub fn css_path(&self) -> &str {
        &self.style
    }

    /// The path of the style sheet of the frame around a message's HTML.
    pub fn letter_path(&self) -> &str {
        &self.letter
    }

    /// The path of the script that passkeys need.
    pub fn script_path(&self) -> &str {
        &self.script
    }

    /// The icon's path.
    pub fn icon_path(&self) -> &str {
        &self.icon
    }

    /// The logo's path, if there is a logo.
    pub fn logo_path(&self) -> Option<&str> {
        self.logo.as_deref()
    }
}

/// The main style sheet with a palette, for whoever looks at pages without a server.
#[cfg(test)]
pub(super) fn files(operator: &Operator) -> [(String, String); 4] {
    let palette = Palette::of(DEFAULT_COLOUR);
    let style = STYLE
        .replace("$light-strong", &palette.light_strong.css())
        .replace("$dark-strong", &palette.dark_strong.css())
        .replace("$light", &palette.light.css())
        .replace("$dark", &palette.dark.css());
    [
        (operator.style.clone(), style),
        (operator.letter.clone(), LETTER.to_owned()),
        (operator.script.clone(), SCRIPT.to_owned()),
        (operator.icon.clone(), String::new()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_becomes_readable() {
        let steps = [0u8, 0x33, 0x66, 0x80, 0x99, 0xcc, 0xff];
        for red in steps {
            for green in steps {
                for blue in steps {
                    let palette = Palette::of(Colour([red, green, blue]));
                    for (colour, ground) in [
                        (palette.light, WHITE),
                        (palette.light, PAGE_LIGHT),
                        (palette.light_strong, WHITE),
                        (palette.dark, CARD_DARK),
                        (palette.dark, INK_DARK),
                        (palette.dark_strong, INK_DARK),
                    ] {
                        let contrast = colour.contrast(ground);
                        assert!(
                            contrast >= LEAST_CONTRAST,
                            "{red} {green} {blue}: {contrast}"
                        );
                    }
                }
            }
        }
        // The grounds are those of the style sheet.
        for ground in [PAGE_LIGHT, CARD_DARK, INK_DARK] {
            assert!(STYLE.contains(&ground.css()), "{}", ground.css());
        }
    }

    #[test]
    fn the_measure_is_that_of_the_standard() {
        let grey = Colour::parse("#767676").unwrap();
        assert!((grey.contrast(WHITE) - 4.54).abs() < 0.01);
        assert!((WHITE.contrast(Colour([0, 0, 0])) - 21.0).abs() < 0.001);
        for text in ["", "#12345", "#1234567", "123456", "#12345g", "#+12345"] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }

    #[test]
    fn files_have_paths_made_of_their_content() {
        let mut assets = Assets::default();
        let logo = Logo::of(Bytes::from_static(b"\x89PNG\r\n\x1a\n0000"));
        let identity = Identity {
            logo,
            ..Identity::default()
        };
        let operator = Operator::new(identity, &mut assets);
        for (name, path) in [
            ("portal.css", operator.css_path()),
            ("letter.css", operator.letter_path()),
            ("passkey.js", operator.script_path()),
            ("icon.svg", operator.icon_path()),
            ("logo.png", operator.logo_path().unwrap()),
        ] {
            assert_eq!(assets.path(name), Some(path));
        }
        for (path, text) in files(&operator) {
            let whole = path.ends_with(".css") && text.contains('$');
            assert!(!whole && text.len() < 20 * 1024, "{path}");
        }
        assert_eq!(
            Logo::of(Bytes::from_static(b"<html><script>alert(1)</script>")),
            None
        );
        assert_eq!(Logo::of(vec![0x89; MAX_LOGO_OCTETS + 1].into()), None);
    }
}
