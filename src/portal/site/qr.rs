//! A text as a square picture that a camera reads (ISO/IEC 18004), drawn as one SVG path.

use qrcode::{Color, EcLevel, QrCode};

/// Squares of white around the picture.
const QUIET: usize = 4;

/// The data of a path that fills the dark squares, and the side of the whole in squares. `None`
/// for a text that is too long.
pub fn path(text: &str) -> Option<(String, usize)> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let colours = code.to_colors();
    let mut path = String::new();
    for (row, squares) in colours.chunks(width).enumerate() {
        let mut column = 0;
        for run in squares.chunk_by(|one, other| one == other) {
            if run.first() == Some(&Color::Dark) {
                let (x, y, long) = (column + QUIET, row + QUIET, run.len());
                path.push_str(&format!("M{x} {y}h{long}v1h-{long}z"));
            }
            column += run.len();
        }
    }
    Some((path, width + 2 * QUIET))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_exactly_the_dark_squares() {
        let text = "otpauth://totp/Clinic:kim%40portal.example?secret=JBSWY3DPEHPK3PXP";
        let (path, side) = path(text).unwrap();
        let code = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
        assert_eq!(side, code.width() + 8);
        let mut drawn = 0;
        for run in path.split('z').filter(|run| !run.is_empty()) {
            let (at, long) = run[1..].split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let long: usize = long.split('v').next().unwrap().parse().unwrap();
            for x in x..x + long {
                assert_eq!(code[(x - QUIET, y - QUIET)], Color::Dark);
                drawn += 1;
            }
        }
        let dark = code.to_colors().into_iter().filter(|c| *c == Color::Dark);
        assert_eq!(drawn, dark.count());
        assert!(super::path(&"x".repeat(5000)).is_none());
    }
}
