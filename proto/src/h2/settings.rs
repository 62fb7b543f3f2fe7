//! What either side says about itself (RFC 9113 §6.5, RFC 8441 §3, RFC 9218 §2.1).

use super::code::ErrorCode;
use super::frame::{self, Kind, MOST};
use super::limits::Limits;

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
const NO_RFC7540_PRIORITIES: u16 = 0x9;

/// The smallest `SETTINGS_MAX_FRAME_SIZE`, which is also the first.
pub(super) const MIN_FRAME: u32 = 1 << 14;
/// The largest `SETTINGS_MAX_FRAME_SIZE`.
pub(super) const MAX_FRAME: u32 = (1 << 24) - 1;
/// The window a connection and its streams start with.
pub(super) const FIRST_WINDOW: u32 = 65_535;

/// What of the client's settings a server acts on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// `SETTINGS_HEADER_TABLE_SIZE`, bytes.
    pub header_table_size: u32,
    /// The smallest of those in the frame that was applied last, if there was one: a table must shrink to it on the way
    /// (RFC 7541 §4.2).
    pub smallest_table_size: Option<u32>,
    /// `SETTINGS_INITIAL_WINDOW_SIZE`, bytes.
    pub initial_window_size: u32,
    /// `SETTINGS_MAX_FRAME_SIZE`, bytes.
    pub max_frame_size: u32,
    /// `SETTINGS_NO_RFC7540_PRIORITIES`, once it was said.
    no_old_priorities: Option<bool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_table_size: 4096,
            smallest_table_size: None,
            initial_window_size: FIRST_WINDOW,
            max_frame_size: MIN_FRAME,
            no_old_priorities: None,
        }
    }
}

impl Settings {
    /// Takes the payload of a SETTINGS frame, in order. The later of two values of one setting is kept.
    ///
    /// # Errors
    ///
    /// The code of the connection error, and what was wrong.
    pub fn apply(&mut self, payload: &[u8]) -> Result<(), (ErrorCode, &'static str)> {
        if !payload.len().is_multiple_of(6) {
            return Err((ErrorCode::FRAME_SIZE_ERROR, "SETTINGS is not a multiple of 6 bytes"));
        }
        self.smallest_table_size = None;
        let bad = |why| Err((ErrorCode::PROTOCOL_ERROR, why));
        for setting in payload.chunks_exact(6) {
            let value = frame::u32_at(setting, 2);
            match u16::from_be_bytes([setting[0], setting[1]]) {
                HEADER_TABLE_SIZE => {
                    self.header_table_size = value;
                    self.smallest_table_size = Some(self.smallest_table_size.map_or(value, |other| other.min(value)));
                }
                ENABLE_PUSH if value > 1 => return bad("SETTINGS_ENABLE_PUSH is neither 0 nor 1"),
                INITIAL_WINDOW_SIZE if value > MOST => {
                    return Err((ErrorCode::FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE is above 2^31-1"));
                }
                INITIAL_WINDOW_SIZE => self.initial_window_size = value,
                MAX_FRAME_SIZE if !(MIN_FRAME..=MAX_FRAME).contains(&value) => {
                    return bad("SETTINGS_MAX_FRAME_SIZE is out of range");
                }
                MAX_FRAME_SIZE => self.max_frame_size = value,
                ENABLE_CONNECT_PROTOCOL if value > 1 => {
                    return bad("SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1");
                }
                NO_RFC7540_PRIORITIES if value > 1 => {
                    return bad("SETTINGS_NO_RFC7540_PRIORITIES is neither 0 nor 1");
                }
                NO_RFC7540_PRIORITIES => {
                    if self.no_old_priorities.is_some_and(|said| said != (value == 1)) {
                        return bad("SETTINGS_NO_RFC7540_PRIORITIES has changed");
                    }
                    self.no_old_priorities = Some(value == 1);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Appends our SETTINGS, and the WINDOW_UPDATE that makes the connection's window what it is to be.
pub(super) fn put_ours(out: &mut Vec<u8>, limits: &Limits) {
    let list_size = u32::try_from(limits.head.max_header_size).unwrap_or(u32::MAX);
    let ours = [
        (HEADER_TABLE_SIZE, limits.table_size),
        (MAX_CONCURRENT_STREAMS, limits.max_streams),
        (INITIAL_WINDOW_SIZE, limits.window),
        (MAX_FRAME_SIZE, limits.max_frame),
        (MAX_HEADER_LIST_SIZE, list_size),
        (NO_RFC7540_PRIORITIES, 1),
        (ENABLE_CONNECT_PROTOCOL, 1),
    ];
    let ours = if limits.extended_connect { &ours[..] } else { &ours[..6] };
    frame::put_header(out, ours.len() * 6, Kind::Settings, 0, 0);
    for (name, value) in ours {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    if limits.connection_window > FIRST_WINDOW {
        frame::put_window_update(out, 0, limits.connection_window - FIRST_WINDOW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(settings: &[(u16, u32)]) -> Result<Settings, ErrorCode> {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        let mut read = Settings::default();
        read.apply(&payload).map(|()| read).map_err(|(code, _)| code)
    }

    #[test]
    fn the_last_of_two_values_counts_and_unknown_settings_are_ignored() {
        let read = apply(&[(1, 5), (0xabcd, 9), (5, 20_000), (4, 7), (1, 6)]).expect("all are good");
        assert_eq!((read.header_table_size, read.max_frame_size, read.initial_window_size), (6, 20_000, 7));
        assert_eq!(read.smallest_table_size, Some(5));
    }

    #[test]
    fn every_value_out_of_its_range_is_an_error_of_its_own() {
        assert_eq!(apply(&[(2, 2)]), Err(ErrorCode::PROTOCOL_ERROR));
        assert_eq!(apply(&[(4, 1 << 31)]), Err(ErrorCode::FLOW_CONTROL_ERROR));
        assert_eq!(apply(&[(5, MIN_FRAME - 1)]), Err(ErrorCode::PROTOCOL_ERROR));
        assert_eq!(apply(&[(5, MAX_FRAME + 1)]), Err(ErrorCode::PROTOCOL_ERROR));
        assert_eq!(apply(&[(8, 2)]), Err(ErrorCode::PROTOCOL_ERROR));
        assert_eq!(apply(&[(9, 2)]), Err(ErrorCode::PROTOCOL_ERROR));
        assert_eq!(apply(&[(9, 1), (9, 0)]), Err(ErrorCode::PROTOCOL_ERROR));
        assert!(apply(&[(2, 0), (2, 1), (4, MOST), (5, MIN_FRAME), (5, MAX_FRAME), (8, 1), (9, 1), (9, 1)]).is_ok());
        let mut read = Settings::default();
        assert_eq!(read.apply(&[0; 5]).map_err(|(code, _)| code), Err(ErrorCode::FRAME_SIZE_ERROR));
    }
}
