use std::io::{Read, Write};

fn main() {
    let port = std::env::var("APP_PORT").expect("APP_PORT");
    let listener = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).unwrap_or(0);
        let known = buffer[..read].starts_with(b"GET /health_check ");
        let status = if known { "200 OK" } else { "404 Not Found" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
}
