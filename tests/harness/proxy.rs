//! A proxy that adds the API key, for checkers that cannot send a header of their own. It changes
//! nothing else: the `Host` header in particular arrives as the checker wrote it.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

/// Listens until the test process ends.
pub(crate) struct KeyProxy {
    pub(crate) port: u16,
}

impl KeyProxy {
    /// Passes on to `to` (host:port) with `x-api-key: key` added to every request.
    pub(crate) fn start(to: &str, key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (to, key) = (to.to_owned(), key.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (to, key) = (to.clone(), key.clone());
                thread::spawn(move || drop(pass_on(client, &to, &key)));
            }
        });
        Self { port }
    }
}

/// One request a connection: the server is asked to close after its answer.
fn pass_on(mut client: TcpStream, to: &str, key: &str) -> io::Result<()> {
    let (head, rest) = read_head(&mut client)?;
    let mut server = TcpStream::connect(to)?;
    let mut lines = head.split("\r\n");
    let mut sent = format!(
        "{}\r\nx-api-key: {key}\r\nconnection: close\r\n",
        lines.next().unwrap_or_default()
    );
    for line in lines
        .filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("connection:"))
    {
        sent.push_str(line);
        sent.push_str("\r\n");
    }
    sent.push_str("\r\n");
    server.write_all(sent.as_bytes())?;
    server.write_all(&rest)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || drop(io::copy(&mut from_client, &mut to_server)));
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}

/// The head of a request, and what was read of its body.
fn read_head(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = read.windows(4).position(|part| part == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
        let count = client.read(&mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(&chunk[..count]);
    }
}
