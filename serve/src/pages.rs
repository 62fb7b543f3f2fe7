//! Answers no route gives: the error pages, compiled once, that never show what stands behind.

use anygate_core::status;
use anygate_proto::h1::write::{Answer, Image, Persistence};
use anygate_proto::head::BodyLength;

/// Statuses the server answers of its own accord.
const STATUSES: [u16; 17] = [400, 404, 405, 408, 413, 414, 417, 421, 429, 431, 500, 501, 502, 503, 504, 505, 508];

/// The pages, in the order of `STATUSES`.
#[derive(Debug, Clone)]
pub struct Pages {
    images: Vec<Image>,
}

impl Pages {
    /// Compiles every page; `server` is the `Server` field, empty for none.
    #[must_use]
    pub fn compile(server: &str) -> Self {
        let images = STATUSES
            .iter()
            .map(|&status| {
                let body = format!("{status} {}\n", status::phrase(status).unwrap_or_default());
                let answer = Answer {
                    status,
                    server,
                    fields: &[("Content-Type", b"text/plain; charset=utf-8"), ("X-Content-Type-Options", b"nosniff")],
                    body: BodyLength::None,
                    persistence: Persistence::Implied,
                };
                Image::compile(&answer, body.as_bytes()).expect("the server's name was checked at load")
            })
            .collect();
        Self { images }
    }

    /// The page of a status; that of 500 where there is none.
    #[must_use]
    pub fn get(&self, status: u16) -> &Image {
        let at = STATUSES.iter().position(|&s| s == status);
        &self.images[at.unwrap_or(10)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_status_gets_the_page_of_500() {
        let pages = Pages::compile("");
        assert_eq!(pages.get(599).status(), 500);
        assert_eq!(pages.get(404).status(), 404);
    }
}
