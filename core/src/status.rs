//! Which status codes have a name, and which number a name stands for: the IANA registry.
//!
//! <https://www.iana.org/assignments/http-status-codes>, and 418 as RFC 2324 has it.

/// Number, reason phrase, the phrase as one upper-case word. Sorted by number.
const REGISTRY: &[(u16, &str, &str)] = &[
    (100, "Continue", "CONTINUE"),
    (101, "Switching Protocols", "SWITCHING_PROTOCOLS"),
    (102, "Processing", "PROCESSING"),
    (103, "Early Hints", "EARLY_HINTS"),
    (200, "OK", "OK"),
    (201, "Created", "CREATED"),
    (202, "Accepted", "ACCEPTED"),
    (203, "Non-Authoritative Information", "NON_AUTHORITATIVE_INFORMATION"),
    (204, "No Content", "NO_CONTENT"),
    (205, "Reset Content", "RESET_CONTENT"),
    (206, "Partial Content", "PARTIAL_CONTENT"),
    (207, "Multi-Status", "MULTI_STATUS"),
    (208, "Already Reported", "ALREADY_REPORTED"),
    (226, "IM Used", "IM_USED"),
    (300, "Multiple Choices", "MULTIPLE_CHOICES"),
    (301, "Moved Permanently", "MOVED_PERMANENTLY"),
    (302, "Found", "FOUND"),
    (303, "See Other", "SEE_OTHER"),
    (304, "Not Modified", "NOT_MODIFIED"),
    (305, "Use Proxy", "USE_PROXY"),
    (307, "Temporary Redirect", "TEMPORARY_REDIRECT"),
    (308, "Permanent Redirect", "PERMANENT_REDIRECT"),
    (400, "Bad Request", "BAD_REQUEST"),
    (401, "Unauthorized", "UNAUTHORIZED"),
    (402, "Payment Required", "PAYMENT_REQUIRED"),
    (403, "Forbidden", "FORBIDDEN"),
    (404, "Not Found", "NOT_FOUND"),
    (405, "Method Not Allowed", "METHOD_NOT_ALLOWED"),
    (406, "Not Acceptable", "NOT_ACCEPTABLE"),
    (407, "Proxy Authentication Required", "PROXY_AUTHENTICATION_REQUIRED"),
    (408, "Request Timeout", "REQUEST_TIMEOUT"),
    (409, "Conflict", "CONFLICT"),
    (410, "Gone", "GONE"),
    (411, "Length Required", "LENGTH_REQUIRED"),
    (412, "Precondition Failed", "PRECONDITION_FAILED"),
    (413, "Content Too Large", "CONTENT_TOO_LARGE"),
    (414, "URI Too Long", "URI_TOO_LONG"),
    (415, "Unsupported Media Type", "UNSUPPORTED_MEDIA_TYPE"),
    (416, "Range Not Satisfiable", "RANGE_NOT_SATISFIABLE"),
    (417, "Expectation Failed", "EXPECTATION_FAILED"),
    (418, "I'm a teapot", "IM_A_TEAPOT"),
    (421, "Misdirected Request", "MISDIRECTED_REQUEST"),
    (422, "Unprocessable Content", "UNPROCESSABLE_CONTENT"),
    (423, "Locked", "LOCKED"),
    (424, "Failed Dependency", "FAILED_DEPENDENCY"),
    (425, "Too Early", "TOO_EARLY"),
    (426, "Upgrade Required", "UPGRADE_REQUIRED"),
    (428, "Precondition Required", "PRECONDITION_REQUIRED"),
    (429, "Too Many Requests", "TOO_MANY_REQUESTS"),
    (431, "Request Header Fields Too Large", "REQUEST_HEADER_FIELDS_TOO_LARGE"),
    (451, "Unavailable For Legal Reasons", "UNAVAILABLE_FOR_LEGAL_REASONS"),
    (500, "Internal Server Error", "INTERNAL_SERVER_ERROR"),
    (501, "Not Implemented", "NOT_IMPLEMENTED"),
    (502, "Bad Gateway", "BAD_GATEWAY"),
    (503, "Service Unavailable", "SERVICE_UNAVAILABLE"),
    (504, "Gateway Timeout", "GATEWAY_TIMEOUT"),
    (505, "HTTP Version Not Supported", "HTTP_VERSION_NOT_SUPPORTED"),
    (506, "Variant Also Negotiates", "VARIANT_ALSO_NEGOTIATES"),
    (507, "Insufficient Storage", "INSUFFICIENT_STORAGE"),
    (508, "Loop Detected", "LOOP_DETECTED"),
    (510, "Not Extended", "NOT_EXTENDED"),
    (511, "Network Authentication Required", "NETWORK_AUTHENTICATION_REQUIRED"),
];

/// Short names the route language adds to the registry's.
const ALIASES: &[(&str, u16)] =
    &[("MOVED", 301), ("TEMP_REDIRECT", 307), ("PERM_REDIRECT", 308), ("INTERNAL_ERROR", 500)];

/// The reason phrase of a registered status: `404` is `Not Found`.
#[must_use]
pub fn phrase(status: u16) -> Option<&'static str> {
    entry(status).map(|(_, phrase, _)| *phrase)
}

/// The phrase of a registered status as one upper-case word: `404` is `NOT_FOUND`.
#[must_use]
pub fn name(status: u16) -> Option<&'static str> {
    entry(status).map(|(_, _, name)| *name)
}

/// The number an upper-case name stands for, aliases included; case-sensitive.
#[must_use]
pub fn number(name: &str) -> Option<u16> {
    names().find(|(known, _)| *known == name).map(|(_, number)| number)
}

/// Every name with its number: the registry's in order, then the aliases.
pub fn names() -> impl Iterator<Item = (&'static str, u16)> {
    REGISTRY.iter().map(|(number, _, name)| (*name, *number)).chain(ALIASES.iter().copied())
}

/// True where a response never has content: `1xx`, 204, 205, 304 (RFC 9110 §6.4.1, §15.3.6).
#[must_use]
pub fn forbids_body(status: u16) -> bool {
    status < 200 || matches!(status, 204 | 205 | 304)
}

fn entry(status: u16) -> Option<&'static (u16, &'static str, &'static str)> {
    REGISTRY.binary_search_by_key(&status, |(number, _, _)| *number).ok().map(|at| &REGISTRY[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_phrase_in_upper_case_with_underscores() {
        for (_, phrase, name) in REGISTRY {
            let word: String = phrase
                .chars()
                .filter(|c| *c != '\'')
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
                .collect();
            assert_eq!(*name, word);
        }
    }

    #[test]
    fn the_registry_is_sorted_so_that_every_number_is_found() {
        assert!(REGISTRY.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (status, text, word) in REGISTRY {
            assert_eq!(phrase(*status), Some(*text));
            assert_eq!(name(*status), Some(*word));
            assert_eq!(number(word), Some(*status));
        }
    }

    #[test]
    fn aliases_are_numbers_and_strangers_are_nothing() {
        assert_eq!(number("MOVED"), Some(301));
        assert_eq!(number("TEMP_REDIRECT"), Some(307));
        assert_eq!(number("PERM_REDIRECT"), Some(308));
        assert_eq!(number("INTERNAL_ERROR"), Some(500));
        assert_eq!(number("ok"), None);
        assert_eq!(phrase(299), None);
    }

    #[test]
    fn some_answers_never_have_a_body() {
        let without: Vec<u16> = (100..600).filter(|s| forbids_body(*s) && *s >= 200).collect();
        assert_eq!(without, [204, 205, 304]);
        assert!(forbids_body(101));
    }
}
