//! Starts a step's process and carries bytes between it and the supervisor.
//!
//! All steps of a run write to the same two pipes, so that what an earlier step left in the
//! background is still heard. Nothing here waits: every end held is non-blocking.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::record::Step;
use super::redact::{Redactor, Secrets};
use super::spool::Stream;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// A process that was started for a step.
#[derive(Debug)]
pub(super) struct Started {
    /// Its number, which is also its group's.
    pub(super) pid: i32,
    /// The text it still has to be given.
    pub(super) feed: Option<Feed>,
}

/// Starts a step in its own process group.
pub(super) fn start(
    step: &Step,
    env: &BTreeMap<String, String>,
    pipes: &Pipes,
) -> io::Result<Started> {
    let Some((program, args)) = step.argv.split_first() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the command is empty",
        ));
    };
    let (out, err) = pipes.writers()?;
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .envs(env)
        .current_dir(&step.cwd)
        .stdin(match step.stdin {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()?;
    let feed = match (child.stdin.take(), &step.stdin) {
        (Some(pipe), Some(text)) => Some(Feed::new(pipe, text.clone().into_bytes())?),
        (Some(_) | None, Some(_) | None) => None,
    };
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(Started { pid, feed })
}

/// Text on its way to a step's standard input.
#[derive(Debug)]
pub(super) struct Feed {
    pipe: ChildStdin,
    text: Vec<u8>,
    given: usize,
}

impl Feed {
    fn new(pipe: ChildStdin, text: Vec<u8>) -> io::Result<Self> {
        dont_wait(&pipe)?;
        Ok(Self {
            pipe,
            text,
            given: 0,
        })
    }

    /// Gives what is taken without waiting; true when there is nothing more to give or nobody to
    /// give it to.
    pub(super) fn give(&mut self) -> bool {
        while self.given < self.text.len() {
            match self.pipe.write(&self.text[self.given..]) {
                Ok(count) => self.given += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
        true
    }
}

impl AsFd for Feed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The two pipes all steps write to.
#[derive(Debug)]
pub(super) struct Pipes {
    /// Standard output and standard error, in this order.
    pub(super) sources: [Source; 2],
    writers: Option<(PipeWriter, PipeWriter)>,
}

impl Pipes {
    /// Fresh pipes whose output is redacted.
    pub(super) fn new(secrets: Arc<Secrets>) -> io::Result<Self> {
        let (out, out_writer) = io::pipe()?;
        let (err, err_writer) = io::pipe()?;
        Ok(Self {
            sources: [
                Source::new(out, Stream::Out, Arc::clone(&secrets))?,
                Source::new(err, Stream::Err, secrets)?,
            ],
            writers: Some((out_writer, err_writer)),
        })
    }

    /// No further step will be started: the pipes end with the last process that holds them.
    pub(super) fn close_writers(&mut self) {
        self.writers = None;
    }

    fn writers(&self) -> io::Result<(PipeWriter, PipeWriter)> {
        let (out, err) = self.writers.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((out.try_clone()?, err.try_clone()?))
    }
}

/// The reading end of one stream, with its redaction.
#[derive(Debug)]
pub(super) struct Source {
    pipe: PipeReader,
    /// Which stream it is.
    pub(super) stream: Stream,
    redactor: Redactor,
    /// Whether the stream has ended.
    pub(super) ended: bool,
}

impl Source {
    fn new(pipe: PipeReader, stream: Stream, secrets: Arc<Secrets>) -> io::Result<Self> {
        dont_wait(&pipe)?;
        Ok(Self {
            pipe,
            stream,
            redactor: Redactor::new(secrets),
            ended: false,
        })
    }

    /// Reads once; returns how many bytes came, and puts into `out` what may be shown of them.
    pub(super) fn read(&mut self, out: &mut Vec<u8>) -> usize {
        let mut chunk = vec![0; READ_BYTES];
        match self.pipe.read(&mut chunk) {
            Ok(0) => {
                self.ended = true;
                self.redactor.finish(out);
                0
            }
            Ok(count) => {
                self.redactor.push(&chunk[..count], out);
                count
            }
            Err(_) => 0,
        }
    }

    /// Nothing more will be read: what was held back may be shown.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.redactor.finish(out);
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn dont_wait(fd: &impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?;
    Ok(())
}
