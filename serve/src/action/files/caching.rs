//! What does `Cache-Control` say about a file?

use anygate_core::config::CacheControl;

use super::name;

/// Pages are asked for again each time (the answer is a 304 while they stay): they name everything else.
const PAGE: &str = "no-cache";
/// What a build tool named after its content never changes under that name.
const HASHED: &str = "public, max-age=31536000, immutable";

/// The value for the file called `path`; `None` for no field.
pub(super) fn control<'a>(setting: &'a CacheControl, path: &[u8], media_type: &str) -> Option<&'a str> {
    match setting {
        CacheControl::Off => None,
        CacheControl::Value(value) => Some(value),
        CacheControl::Auto if media_type.starts_with("text/html") || media_type.starts_with("application/xhtml") => {
            Some(PAGE)
        }
        CacheControl::Auto if is_asset(media_type) && has_hash(name::last_segment(path)) => Some(HASHED),
        CacheControl::Auto => None,
    }
}

/// The kinds of files build tools name after their content. Documents and archives carry dates and serial numbers
/// in their names, which look much the same.
fn is_asset(media_type: &str) -> bool {
    const KINDS: [&str; 8] =
        ["text/css", "text/javascript", "application/wasm", "application/json", "font/", "image/", "audio/", "video/"];
    KINDS.iter().any(|kind| media_type.starts_with(kind))
}

/// Whether a file's name has a hash of its content between its first word and its extension: `main.3f2a1b9c.js`
/// (webpack), `index-BfQ3x9aZ.js` (Vite), `main-5QXK3VTZ.css` (Angular).
///
/// Wrongly seeing one would keep an old file in browsers for a year, wrongly seeing none costs a 304: so in doubt, none.
fn has_hash(file: &[u8]) -> bool {
    let mut words = file.split(|&b| b == b'.' || b == b'-').skip(1).peekable();
    while let Some(word) = words.next() {
        if words.peek().is_some() && is_hash(word) {
            return true;
        }
    }
    false
}

fn is_hash(word: &[u8]) -> bool {
    let digits = word.iter().filter(|b| b.is_ascii_digit()).count();
    let lower = word.iter().filter(|b| b.is_ascii_lowercase()).count();
    let upper = word.iter().filter(|b| b.is_ascii_uppercase()).count();
    let others = word.len() - digits - lower - upper;
    let hexadecimal = word.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if digits == 0 || lower + upper == 0 || others > word.iter().filter(|&&b| b == b'_').count() {
        return false;
    }
    if hexadecimal {
        return matches!(word.len(), 8 | 10 | 12 | 16 | 20 | 24 | 32 | 40 | 64);
    }
    // Base 64 or 32: upper-case letters, and a digit with a letter somewhere behind it, as in no `MyPhoto2` and no
    // `DSC01234`.
    let digit = word.iter().position(u8::is_ascii_digit).unwrap_or(word.len());
    (8..=64).contains(&word.len()) && upper > 1 && word[digit..].iter().any(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_build_tools_give_have_a_hash() {
        for name in [
            "main.3f2a1b9c.js",
            "main.3f2a1b9c.chunk.css",
            "index-BfQ3x9aZ.js",
            "vendor-B1_x9aZk.css",
            "main-5QXK3VTZ.css",
            "chunk.e3b0c44298fc1c149afbf4c8996fb924.js",
            "app.3f2a1b9c.js.map",
        ] {
            assert!(has_hash(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_people_give_have_none() {
        for name in [
            "index.html",
            "jquery-3.7.1.min.js",
            "foo-component.js",
            "photo-landscape.jpg",
            "report-20240101.png",
            "a-version2.js",
            "slide-MyPhoto2.jpg",
            "photo-DSC01234.jpg",
            "font-deadbeef.woff2",
            "3f2a1b9c.js",
            "IMG-20240101-120000.jpg",
            "logo-1920x1080.png",
            "app-2024.js",
            "x",
            "",
        ] {
            assert!(!has_hash(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn pages_are_asked_for_again_hashed_assets_never_and_a_value_is_for_all() {
        let auto = CacheControl::Auto;
        assert_eq!(control(&auto, b"index.html", "text/html; charset=utf-8"), Some("no-cache"));
        assert_eq!(control(&auto, b"a/main.3f2a1b9c.js", "text/javascript; charset=utf-8"), Some(HASHED));
        assert_eq!(control(&auto, b"a/main.js", "text/javascript; charset=utf-8"), None);
        assert_eq!(control(&auto, b"invoice-3f2a1b9c.pdf", "application/pdf"), None);
        assert_eq!(control(&CacheControl::Off, b"index.html", "text/html"), None);
        assert_eq!(control(&CacheControl::Value("max-age=5".into()), b"a.pdf", "application/pdf"), Some("max-age=5"));
    }
}
