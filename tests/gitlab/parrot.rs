//! A hostile proxy before the stand-in: it repeats the credentials of each request in its answer, in every form, wherever an answer has
//! room for text.

use std::io::Read;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tiny_http::{Header, Request, Response, Server};

/// What it does with the requests it is for; all others reach the stand-in and come back untouched.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Methods and a part of the path, as `GET /metadata` or `POST|PUT /`; empty for all.
    pub on: &'static str,
    pub does: Does,
}

impl Attack {
    fn is_for(&self, line: &str) -> bool {
        self.on.split_once(' ').is_none_or(|(methods, path)| {
            methods.split('|').any(|method| line.starts_with(method)) && line.contains(path)
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// Refuses, with the credentials in this key of a JSON body.
    Refuses(u16, &'static str),
    /// Refuses in plain words.
    Says(u16),
    /// Refuses, with them in this header.
    Heads(u16, &'static str),
    /// Answers a success with them in place of the media type.
    IsNoJson,
    /// Answers a success whose body is JSON up to the credentials.
    Breaks,
    /// Lets the request pass, and repeats them in each of these fields of a successful answer; all texts without any.
    Repeats(&'static [&'static str]),
    /// The same, in an element that it adds to the list.
    Adds(&'static str),
    /// Refuses with 403 and without credentials: with nothing at all, or with a body of this type that is not GitLab's.
    Forbids(Option<&'static str>),
    /// Answers git with an error line of its protocol.
    GitError,
}

pub struct Parrot {
    url: String,
    attack: Arc<Mutex<Option<Attack>>>,
    heard: Arc<Mutex<usize>>,
}

impl Parrot {
    pub fn before(url: &str) -> Self {
        let server = Server::http("127.0.0.1:0").unwrap();
        let address = server.server_addr().to_ip().unwrap();
        let (attack, heard) = (Arc::new(Mutex::new(None)), Arc::default());
        let (told, counted, behind) = (Arc::clone(&attack), Arc::clone(&heard), url.to_owned());
        std::thread::spawn(move || {
            for request in server.incoming_requests() {
                let (told, counted, behind) = (Arc::clone(&told), Arc::clone(&counted), behind.clone());
                std::thread::spawn(move || serve(request, &behind, &told, &counted));
            }
        });
        Self { url: format!("http://{address}"), attack, heard }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    pub fn attack(&self, attack: Option<Attack>) {
        *self.attack.lock().unwrap() = attack;
        *self.heard.lock().unwrap() = 0;
    }

    /// How often it repeated credentials since the attack began.
    pub fn said(&self) -> usize {
        *self.heard.lock().unwrap()
    }
}

/// A secret in the forms in which it may come back.
pub fn forms(secret: &str) -> Vec<String> {
    vec![
        secret.to_owned(),
        format!("Basic {}", STANDARD.encode(format!("oauth2:{secret}"))),
        format!("Bearer {}", STANDARD.encode(secret)),
        URL_SAFE_NO_PAD.encode(format!("a:{secret}")),
        secret.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat(),
        secret.replace('-', "%2d"),
    ]
}

/// The password or token of a request.
fn credentials(request: &Request) -> Option<String> {
    let header = |name: &'static str| request.headers().iter().find(|header| header.field.equiv(name));
    if let Some(token) = header("PRIVATE-TOKEN") {
        return Some(token.value.to_string());
    }
    let basic = header("Authorization")?.value.to_string();
    let login = STANDARD.decode(basic.strip_prefix("Basic ")?).unwrap();
    String::from_utf8(login).unwrap().split_once(':').map(|(_, token)| token.to_owned())
}

fn serve(mut request: Request, behind: &str, attack: &Mutex<Option<Attack>>, heard: &Mutex<usize>) {
    let line = format!("{} {}", request.method(), request.url());
    let attack = attack.lock().unwrap().filter(|attack| attack.is_for(&line));
    let echo = credentials(&request).map(|token| forms(&token).join(" or "));
    let (Some(attack), Some(echo)) = (attack, echo) else {
        let (status, headers, body) = pass(&mut request, behind);
        return answer(request, status, headers, &body);
    };
    *heard.lock().unwrap() += 1;
    let header = |name: &str, value: &str| Header::from_bytes(name, value).unwrap();
    let as_json = || vec![header("Content-Type", "application/json")];
    let (status, headers, body) = match attack.does {
        Does::Refuses(status, key) => {
            let mut body = json!({ key: echo });
            if key == "scope" {
                body["error"] = "insufficient_scope".into();
            }
            (status, as_json(), body.to_string().into_bytes())
        }
        Does::Says(status) => (status, vec![header("Content-Type", "text/plain")], format!("{echo}\n").into_bytes()),
        Does::Heads(status, name) => {
            let value =
                if name == "WWW-Authenticate" { format!("Basic realm=\"{echo}\"") } else { format!("{behind}/{echo}") };
            (status, vec![header(name, &value), header("Content-Type", "text/plain")], Vec::new())
        }
        Does::IsNoJson => (200, vec![header("Content-Type", &format!("text/{echo}"))], echo.into_bytes()),
        Does::Breaks => (200, as_json(), format!("{{\"{echo}").into_bytes()),
        Does::Forbids(kind) => {
            // Left unread, it would be taken for the next request.
            request.as_reader().read_to_end(&mut Vec::new()).unwrap();
            let body = match kind {
                None => "",
                Some("application/json") => "{\"message\":\"blocked by policy 7\"}",
                Some(_) => "<html><title>Sign in</title></html>",
            };
            let headers = kind.map(|kind| header("Content-Type", kind)).into_iter().collect();
            (403, headers, body.as_bytes().to_vec())
        }
        Does::GitError => {
            let service = if line.contains("receive-pack") { "git-receive-pack" } else { "git-upload-pack" };
            let packet = |text: &str| format!("{:04x}{text}", text.len() + 4);
            let body = format!("{}0000{}", packet(&format!("# service={service}\n")), packet(&format!("ERR {echo}\n")));
            let kind = format!("application/x-{service}-advertisement");
            (200, vec![header("Content-Type", &kind)], body.into_bytes())
        }
        Does::Repeats(keys) => {
            let (status, headers, body) = pass(&mut request, behind);
            let body = match serde_json::from_slice::<Value>(&body) {
                Ok(mut value) if status < 300 => {
                    repeat(&mut value, keys, &echo);
                    value.to_string().into_bytes()
                }
                _ => body,
            };
            (status, headers, body)
        }
        Does::Adds(key) => {
            let (status, headers, body) = pass(&mut request, behind);
            let mut value: Value = serde_json::from_slice(&body).unwrap();
            if let Some(last) = value.as_array().and_then(|list| list.last()).cloned() {
                let mut more = last;
                more[key] = echo.into();
                more["id"] = 4711.into();
                value.as_array_mut().unwrap().push(more);
            }
            (status, headers, value.to_string().into_bytes())
        }
    };
    answer(request, status, headers, &body);
}

/// Adds the text to fields, at any depth.
fn repeat(value: &mut Value, keys: &[&str], echo: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if keys.contains(&key.as_str()) => text.push_str(&format!(" {echo}")),
                    value => repeat(value, keys, echo),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| repeat(value, keys, echo)),
        _ => {}
    }
}

pub type Answer = (u16, Vec<Header>, Vec<u8>);

pub fn pass(request: &mut Request, behind: &str) -> Answer {
    let mut body = Vec::new();
    request.as_reader().read_to_end(&mut body).unwrap();
    let agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().new_agent();
    let mut call =
        ureq::http::Request::builder().method(request.method().as_str()).uri(format!("{behind}{}", request.url()));
    for header in request.headers() {
        let name = header.field.as_str().as_str();
        if !["host", "content-length", "connection", "transfer-encoding", "accept-encoding"]
            .contains(&name.to_lowercase().as_str())
        {
            call = call.header(name, header.value.as_str());
        }
    }
    let mut answer = agent.run(call.body(body).unwrap()).unwrap();
    let headers = answer
        .headers()
        .iter()
        .filter(|(name, _)| !["content-length", "connection", "transfer-encoding"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| Header::from_bytes(name.as_str(), value.as_bytes()).unwrap()).collect();
    let mut bytes = Vec::new();
    answer.body_mut().as_reader().read_to_end(&mut bytes).unwrap();
    (answer.status().as_u16(), headers, bytes)
}

pub fn answer(request: Request, status: u16, headers: Vec<Header>, body: &[u8]) {
    let length = body.len();
    let _ = request.respond(Response::new(status.into(), headers, body, Some(length), None));
}
