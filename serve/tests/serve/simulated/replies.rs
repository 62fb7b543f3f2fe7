//! What the house says on a connection of HTTP/2: may it, and is it the right answer?

use std::io;

use super::behind::informs;
use super::client::ends_early;
use super::frames::{self, Frame, flag, kind};
use super::ledger::{Outcome, weigh};
use super::scene::{Ask, How, What};
use super::streams::{CANCEL, FIRST_WINDOW, House, PING, Streams, wrong};
use super::wire::{Head, content};

const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;

impl Streams<'_> {
    /// Takes what comes next.
    pub(super) async fn receive(&mut self) -> io::Result<()> {
        let bytes = self.line.recv().await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.frames.add(&bytes);
        while let Some(frame) = self.frames.next()? {
            if let Some(reset) = self.take(&frame)? {
                let mut out = Vec::new();
                frames::put(&mut out, kind::RST_STREAM, 0, reset, &CANCEL.to_be_bytes());
                self.life.send(&self.line, &out).await;
            }
        }
        Ok(())
    }

    /// One frame; a stream that is to be reset for it.
    pub(super) fn take(&mut self, frame: &Frame) -> io::Result<Option<u32>> {
        if self.settings.is_none() && frame.kind != kind::SETTINGS {
            return Err(wrong(format!("first comes {frame:?}")));
        }
        let id = frame.stream;
        let may_be_late = id % 2 == 1 && id < self.next;
        match frame.kind {
            kind::SETTINGS if frame.flags & flag::ACK != 0 => self.acknowledged(),
            kind::SETTINGS => self.settles(frame),
            kind::PING if frame.flags & flag::ACK != 0 && frame.payload == PING => self.pongs += 1,
            kind::WINDOW_UPDATE if id == 0 => self.send += i64::from(frame.number(0)),
            kind::WINDOW_UPDATE if may_be_late => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.send += i64::from(frame.number(0));
                }
            }
            kind::GOAWAY => return self.goes_away(frame).map(|()| None),
            kind::RST_STREAM if may_be_late => return self.is_reset(id, frame.number(0)).map(|()| None),
            kind::DATA if may_be_late => return self.takes_content(id, frame),
            kind::HEADERS if may_be_late => return self.takes_head(id, frame),
            _ => return Err(wrong(format!("a frame nobody may send: {frame:?}"))),
        }
        Ok(None)
    }

    /// The house has taken the oldest settings that it had not.
    fn acknowledged(&mut self) {
        let next = if self.acks == 0 { i64::from(self.multi.window) } else { self.told };
        self.acks += 1;
        let change = next - self.window;
        self.window = next;
        self.open.values_mut().for_each(|open| open.receive += change);
    }

    fn settles(&mut self, frame: &Frame) {
        let mut house = House { streams: usize::MAX, window: FIRST_WINDOW, tunnels: false };
        for one in frame.payload.chunks_exact(6) {
            let value = u32::from_be_bytes([one[2], one[3], one[4], one[5]]);
            match u16::from_be_bytes([one[0], one[1]]) {
                3 => house.streams = value as usize,
                4 => house.window = i64::from(value),
                8 => house.tunnels = value == 1,
                _ => {}
            }
        }
        self.settings = Some(house);
        self.open.values_mut().for_each(|open| open.send += house.window - FIRST_WINDOW);
        let mut out = Vec::new();
        frames::put(&mut out, kind::SETTINGS, flag::ACK, 0, &[]);
        self.line.queue(&out);
    }

    /// GOAWAY: what is above its last stream was not served, and is asked again.
    fn goes_away(&mut self, frame: &Frame) -> io::Result<()> {
        let (last, code) = (frame.number(0) & 0x7fff_ffff, frame.number(4));
        if code != 0 {
            return Err(wrong(format!("GOAWAY with code {code}")));
        }
        self.went_away = true;
        for (_, open) in self.open.split_off(&last.saturating_add(1)) {
            if !open.answered {
                if open.head.is_some() {
                    return Err(wrong("a stream that was answered is above the last one"));
                }
                self.again.push(open.ask);
            }
        }
        Ok(())
    }

    fn is_reset(&mut self, id: u32, code: u32) -> io::Result<()> {
        let Some(open) = self.open.remove(&id) else { return Ok(()) };
        if open.answered {
            return if code == 0 { Ok(()) } else { Err(wrong(format!("a reset {code} behind the end of an answer"))) };
        }
        let outcome = match (open.ask.what, code) {
            _ if open.ask.leaves.is_some() => Outcome::Left,
            (What::Bad(_), PROTOCOL_ERROR) if open.head.is_none() => Outcome::Right(0),
            (_, REFUSED_STREAM) if open.head.is_none() => {
                self.again.push(open.ask);
                return Ok(());
            }
            (_, PROTOCOL_ERROR) => Outcome::Wrong("PROTOCOL_ERROR for a right request".to_owned()),
            (_, 0) => Outcome::Wrong("NO_ERROR before the end of an answer".to_owned()),
            (_, code) => Outcome::Lost(format!("reset {code}")),
        };
        self.life.ends(&open.ask, outcome);
        Ok(())
    }

    fn takes_content(&mut self, id: u32, frame: &Frame) -> io::Result<Option<u32>> {
        let size = frame.payload.len();
        self.receive -= size as i64;
        self.owed += size as u32;
        if self.receive < 0 {
            return Err(wrong("more content than the connection has room for"));
        }
        // What comes for a stream that was left or reset is given back and forgotten.
        let Some(open) = self.open.get_mut(&id) else { return Ok(None) };
        open.receive -= size as i64;
        open.owed += size as u32;
        // Settings may take room back that was used; what is empty needs none.
        if size > 0 && open.receive < 0 {
            return Err(wrong("more content than a stream has room for"));
        }
        if open.head.is_none() || open.answered {
            return Err(wrong("content where none may be"));
        }
        open.came.extend_from_slice(&frame.payload);
        if frame.flags & flag::END_STREAM != 0 {
            return Ok(self.is_answered(id));
        }
        Ok(self.leaves(id))
    }

    fn takes_head(&mut self, id: u32, frame: &Frame) -> io::Result<Option<u32>> {
        let (head, end) = (self.frames.head(frame)?, frame.flags & flag::END_STREAM != 0);
        let Some(open) = self.open.get_mut(&id) else { return Ok(None) };
        if open.answered {
            return Err(wrong("a head behind the end of an answer"));
        }
        let status = head.word(1).to_owned();
        match (&open.head, status.as_str()) {
            (Some(_), "") if end => {
                open.trailers = Some(head);
                return Ok(self.is_answered(id));
            }
            (Some(_), _) | (None, "") => return Err(wrong(format!("a second head, or no status: {head:?}"))),
            (None, "100") if !end => {
                open.waits = open.waits && matches!(open.ask.what, What::Tunnel { .. });
                return Ok(None);
            }
            (None, status) if status.starts_with('1') => {
                open.informed += 1;
                return if end { Err(wrong("an interim answer that ends")) } else { Ok(None) };
            }
            _ => {}
        }
        if matches!(open.ask.what, What::Tunnel { .. }) && status == "200" {
            open.waits = false;
        }
        open.head = Some(head);
        if end { Ok(self.is_answered(id)) } else { Ok(self.leaves(id)) }
    }

    /// The client has had enough of an answer.
    fn leaves(&mut self, id: u32) -> Option<u32> {
        let open = self.open.get(&id)?;
        open.ask.leaves.filter(|bytes| open.came.len() >= *bytes)?;
        let open = self.open.remove(&id)?;
        self.life.gives_up(&open.ask);
        Some(id)
    }

    /// An answer is whole: is it the right one? A stream that is to be reset because nobody asked for its content.
    fn is_answered(&mut self, id: u32) -> Option<u32> {
        let open = self.open.get_mut(&id)?;
        open.answered = true;
        let (ask, head) = (open.ask, open.head.clone().unwrap_or_default());
        let missing = unlike(&ask, open.informed, open.trailers.as_ref());
        let status = head.word(1);
        let outcome = match ask.what {
            _ if ask.leaves.is_some() => Outcome::Left,
            What::Bad(_) if status.starts_with('4') => Outcome::Right(0),
            What::Bad(_) => Outcome::Wrong(format!("what is no request was answered: {head:?}")),
            What::Tunnel { size } if status == "200" => tunnelled(&ask, size, &open.came, self.life.may().half_close),
            _ => match (weigh(&ask, &head, &open.came), missing) {
                (Outcome::Right(_), Some(what)) => Outcome::Wrong(format!("{what}: {head:?}")),
                (outcome, _) => outcome,
            },
        };
        let unasked = open.waits && !open.sent;
        if open.sent || unasked {
            self.open.remove(&id);
        }
        self.life.ends(&ask, outcome);
        unasked.then_some(id)
    }
}

/// What else a right answer has and this one has not, or has not and this one has: interim answers, trailers.
fn unlike(ask: &Ask, informed: u64, trailers: Option<&Head>) -> Option<&'static str> {
    let What::Behind { how, head, .. } = ask.what else { return None };
    let sum = trailers.and_then(|trailers| trailers.one("x-sum"));
    let due = (how == How::Trailing && !head).then(|| ask.number.to_string());
    if sum != due.as_deref() {
        return Some("other trailers");
    }
    (how == How::Informs && informed != informs(ask.number)).then_some("not every interim answer")
}

/// What a tunnel brought back: all that was sent, and a last word.
fn tunnelled(ask: &Ask, size: usize, came: &[u8], may_half_close: bool) -> Outcome {
    let mut expected = content(ask.number, size);
    expected.extend_from_slice(b"bye");
    if came == expected {
        Outcome::Right(came.len() as u64)
    } else if expected.starts_with(came) || may_half_close && ends_early(&expected, came) {
        // The stream to the server behind may have ended in the middle, and what had gone there came back.
        Outcome::Lost(format!("a tunnel after {} bytes", came.len()))
    } else {
        Outcome::Wrong(format!("a tunnel brought other bytes, {} of {}", came.len(), expected.len()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::Arc;

    use anygate_shard::net::Address;
    use anygate_shard::sim::{Personality, World};
    use anygate_shard::{Io, Options, Shard};

    use super::super::client::Life;
    use super::super::ledger::Ledger;
    use super::super::line::{Clock, Heard, Line};
    use super::super::scene::Scene;
    use super::*;

    /// A frame: its kind, flags, stream and payload.
    type Said<'a> = (u8, u8, u32, &'a [u8]);

    /// What is wrong with these frames, behind the house's SETTINGS, on a connection that asked twice.
    fn told(frames: &[Said<'_>]) -> Result<Vec<u32>, String> {
        let world = World::new(1, Personality::Readiness);
        let shard = Shard::simulated(&world, &Options::new(0, Io::Sim)).unwrap();
        let to = Address::Ip("10.0.0.1:80".parse().unwrap());
        let scene = (1..).map(|seed| Scene::new(seed, false)).find(|scene| scene.clients.iter().any(has_two));
        let (may, client) = scene.map(|scene| (scene.may(), scene.clients.into_iter().find(has_two).unwrap())).unwrap();
        let [one, other] = [client.asks[0], client.asks[1]].map(|ask| Ask { what: What::Fixed, leaves: None, ..ask });
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let heard = Heard::default();
        let life = Life::new(&shard, client, to.clone(), Rc::clone(&ledger), may, (&Arc::<Clock>::default(), &heard));
        let multi = life.client.multi.unwrap();
        let line = Line::plain(&shard, shard.connect(&to).unwrap(), &heard);
        let mut streams = Streams::new(&life, multi, line);
        let (mut asks, mut out) = ([one, other].into_iter().collect(), Vec::new());
        streams.ask(&mut asks, &mut out);
        let settings = Frame { kind: kind::SETTINGS, flags: 0, stream: 0, payload: Vec::new() };
        let frames = frames.iter().map(|(kind, flags, stream, payload)| Frame {
            kind: *kind,
            flags: *flags,
            stream: *stream,
            payload: payload.to_vec(),
        });
        for frame in [settings].into_iter().chain(frames) {
            streams.take(&frame).map_err(|error| error.to_string())?;
        }
        Ok(streams.again.iter().map(|ask| if ask.number == one.number { 1 } else { 3 }).collect())
    }

    fn has_two(client: &super::super::scene::Client) -> bool {
        client.multi.is_some_and(|multi| multi.at_once > 1)
            && client.asks.len() > 1
            && client.asks[..2].iter().all(plain)
    }

    fn plain(ask: &Ask) -> bool {
        ask.breach.is_none()
    }

    const OK: Said<'_> = (kind::HEADERS, flag::END_HEADERS, 1, &[0x88]);

    #[test]
    fn more_content_than_there_is_room_for_is_told() {
        let full = vec![0; FIRST_WINDOW as usize];
        assert_eq!(told(&[OK, (kind::DATA, 0, 1, &full)]), Ok(Vec::new()));
        let beyond = told(&[OK, (kind::DATA, 0, 1, &full), (kind::DATA, 0, 1, &[0])]).unwrap_err();
        assert!(beyond.contains("more content"), "{beyond}");
    }

    #[test]
    fn frames_that_may_not_come_are_told() {
        let wrongs: [&[Said<'_>]; 9] = [
            &[(kind::DATA, 0, 1, &[0])],
            &[OK, OK],
            &[(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &[0x82])],
            &[(kind::HEADERS, flag::END_HEADERS, 5, &[0x88])],
            &[(kind::DATA, 0, 2, &[0])],
            &[(kind::GOAWAY, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 1])],
            &[OK, (kind::GOAWAY, 0, 0, &[0; 8])],
            &[(kind::RST_STREAM, 0, 7, &[0, 0, 0, 8])],
            &[(kind::PRIORITY_UPDATE, 0, 0, &[0, 0, 0, 1])],
        ];
        for frames in wrongs {
            assert!(told(frames).is_err(), "{frames:?}");
        }
    }

    #[test]
    fn what_is_above_the_last_stream_or_refused_is_asked_again_and_nothing_else() {
        assert_eq!(told(&[(kind::GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])]), Ok(Vec::new()));
        assert_eq!(told(&[(kind::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])]), Ok(vec![3]));
        assert_eq!(told(&[(kind::RST_STREAM, 0, 1, &[0, 0, 0, 7])]), Ok(vec![1]));
        assert_eq!(told(&[(kind::RST_STREAM, 0, 1, &[0, 0, 0, 2])]), Ok(Vec::new()));
    }
}
