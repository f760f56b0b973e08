//! The network between hosts and the control plane: connections that keep frames in order while
//! they live, deliver late, stall, repeat a frame, break for both ends, or go silent.
//!
//! It keeps nothing across a break: what was under way is gone.

use std::collections::{BTreeMap, VecDeque};

use hostler_proto::link::Outgoing;

use crate::chance::Chance;

pub(crate) type ConnId = u64;

/// Code of a connection that broke.
pub(crate) const BROKEN: u16 = 1006;

#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Close(u16, String),
}

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

#[derive(Debug, Default)]
struct Pipe {
    queue: VecDeque<(u64, Frame)>,
    /// Nothing arrives before this.
    not_before: u64,
    /// Its reader is gone.
    shut: bool,
    repeat_next: bool,
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) host: usize,
    up: Pipe,
    down: Pipe,
    /// Frames vanish, and neither end is told.
    silent: bool,
}

#[derive(Debug)]
pub(crate) struct Network {
    conns: BTreeMap<ConnId, Conn>,
    last: ConnId,
    chance: Chance,
    pub(crate) reachable: [bool; 2],
}

impl Network {
    pub(crate) fn new(chance: Chance) -> Self {
        Self {
            conns: BTreeMap::new(),
            last: 0,
            chance,
            reachable: [true; 2],
        }
    }

    pub(crate) fn open(&mut self, host: usize) -> ConnId {
        self.last += 1;
        let conn = Conn {
            host,
            up: Pipe::default(),
            down: Pipe::default(),
            silent: false,
        };
        self.conns.insert(self.last, conn);
        self.last
    }

    /// Connections in the order they were opened.
    pub(crate) fn open_ones(&self) -> impl Iterator<Item = (ConnId, usize)> {
        self.conns.iter().map(|(id, conn)| (*id, conn.host))
    }

    pub(crate) fn send(&mut self, id: ConnId, way: Way, out: Outgoing, t: u64) {
        let frame = match out {
            Outgoing::Text(text) => Frame::Text(text),
            Outgoing::Binary(bytes) => Frame::Binary(bytes),
            Outgoing::Close { code, reason } => Frame::Close(code, reason),
        };
        self.put(id, way, frame, t);
    }

    fn put(&mut self, id: ConnId, way: Way, frame: Frame, t: u64) {
        let latency = self.chance.within(1, 40);
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.silent) else {
            return;
        };
        let pipe = conn.pipe(way);
        if pipe.shut {
            return;
        }
        let last = pipe.queue.back().map_or(0, |(at, _)| *at);
        let at = (t + latency).max(pipe.not_before).max(last);
        if std::mem::take(&mut pipe.repeat_next) {
            pipe.queue.push_back((at, frame.clone()));
        }
        pipe.queue.push_back((at, frame));
    }

    /// The next frame that has arrived.
    pub(crate) fn take(&mut self, id: ConnId, way: Way, t: u64) -> Option<Frame> {
        let pipe = self.conns.get_mut(&id)?.pipe(way);
        if pipe.queue.front()?.0 > t {
            return None;
        }
        pipe.queue.pop_front().map(|(_, frame)| frame)
    }

    /// When the next frame arrives at an end.
    pub(crate) fn next_at(&self, id: ConnId, way: Way) -> Option<u64> {
        let conn = self.conns.get(&id)?;
        let pipe = match way {
            Way::Up => &conn.up,
            Way::Down => &conn.down,
        };
        pipe.queue.front().map(|(at, _)| *at)
    }

    /// Whether the reader of a way is gone.
    pub(crate) fn is_shut(&self, id: ConnId, way: Way) -> bool {
        let conn = self.conns.get(&id);
        conn.is_none_or(|conn| match way {
            Way::Up => conn.up.shut,
            Way::Down => conn.down.shut,
        })
    }

    /// The reader of `way` is gone; the other end is told so, unless the connection is silent.
    pub(crate) fn leave(&mut self, id: ConnId, reader_of: Way, t: u64) {
        let other = match reader_of {
            Way::Up => Way::Down,
            Way::Down => Way::Up,
        };
        self.put(id, other, Frame::Close(BROKEN, "reset".into()), t);
        if let Some(conn) = self.conns.get_mut(&id) {
            let pipe = conn.pipe(reader_of);
            pipe.shut = true;
            pipe.queue.clear();
            if conn.pipe(other).shut {
                self.conns.remove(&id);
            }
        }
    }

    /// A connection of the host breaks: frames under way are lost. Silently: nobody is told.
    pub(crate) fn cut(&mut self, host: usize, silently: bool, t: u64) {
        let ids: Vec<_> = self.open_ones().filter(|(_, of)| *of == host).collect();
        for (id, _) in ids {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.up.queue.clear();
                conn.down.queue.clear();
            }
            if !silently {
                self.put(id, Way::Up, Frame::Close(BROKEN, "cut".into()), t);
                self.put(id, Way::Down, Frame::Close(BROKEN, "cut".into()), t);
            }
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.silent = true;
            }
        }
    }

    /// Frames of one way arrive only after so long.
    pub(crate) fn stall(&mut self, host: usize, way: Way, until: u64) {
        for conn in self.conns.values_mut().filter(|conn| conn.host == host) {
            let pipe = conn.pipe(way);
            pipe.not_before = until;
            for (at, _) in &mut pipe.queue {
                *at = (*at).max(until);
            }
        }
    }

    /// What is under way arrives twice, and so does the next frame.
    pub(crate) fn repeat(&mut self, host: usize, way: Way) {
        for conn in self.conns.values_mut().filter(|conn| conn.host == host) {
            let pipe = conn.pipe(way);
            let whole = std::mem::take(&mut pipe.queue);
            pipe.queue = whole
                .into_iter()
                .flat_map(|frame| [frame.clone(), frame])
                .collect();
            pipe.repeat_next = true;
        }
    }
}

impl Conn {
    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}
