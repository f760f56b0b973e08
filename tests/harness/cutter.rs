//! A network that breaks: passes connections on and cuts all of them again and again, in the middle
//! of whatever they carry.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Listens until the test process ends; cuts until it is dropped.
pub(crate) struct Cutter {
    pub(crate) port: u16,
    cuts: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Cutter {
    /// Passes on to `to` (a port of this machine), cutting every connection each `period`.
    pub(crate) fn start(to: u16, period: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (cuts, over) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let taken = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                drop(pass_on(&client, to, &taken));
            }
        });
        let (count, done) = (Arc::clone(&cuts), Arc::clone(&over));
        thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                thread::park_timeout(period);
                let cut = std::mem::take(&mut *open.lock().unwrap());
                count.fetch_add(usize::from(!cut.is_empty()), Ordering::Relaxed);
                for stream in cut {
                    stream.shutdown(Shutdown::Both).ok();
                }
            }
        });
        Self { port, cuts, over }
    }

    /// How often something was cut.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn pass_on(client: &TcpStream, to: u16, open: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", to))?;
    for (from, into) in [(client, &server), (&server, client)] {
        let (mut from, mut into) = (from.try_clone()?, into.try_clone()?);
        open.lock().unwrap().push(from.try_clone()?);
        thread::spawn(move || {
            let mut chunk = vec![0; 64 << 10];
            while let Ok(read @ 1..) = from.read(&mut chunk) {
                if into.write_all(&chunk[..read]).is_err() {
                    break;
                }
            }
            into.shutdown(Shutdown::Both).ok();
        });
    }
    Ok(())
}
