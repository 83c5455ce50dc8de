//! A gateway on loopback: UPnP (SSDP over UDP, SOAP over HTTP) and NAT-PMP.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::nat::gateway::{LEASE, Search};

pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A mapping, as the gateway has it, by its protocol ("TCP", "UDP") and external port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) internal: SocketAddr,
    pub(super) lease: u32,
    pub(super) times: u32,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) mappings: BTreeMap<(&'static str, u16), Entry>,
    pub(super) removed: Vec<(&'static str, u16)>,
    /// External ports that somebody else has.
    pub(super) taken: Vec<u16>,
    /// Whether mappings may not end (UPnP error 725).
    pub(super) permanent_only: bool,
    /// Whether everything is refused.
    pub(super) refuses: bool,
    /// How often it was asked for its address.
    pub(super) asked: u32,
    /// What it says of its own address.
    pub(super) address: Option<Ipv4Addr>,
}

pub(super) struct FakeGateway {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) search: Search,
}

impl FakeGateway {
    pub(super) async fn start(address: Ipv4Addr) -> Self {
        let state = Arc::new(Mutex::new(State { address: Some(address), ..State::default() }));
        let any = SocketAddr::new(LOOPBACK, 0);
        let (ssdp, pmp) =
            (UdpSocket::bind(any).await.unwrap(), UdpSocket::bind(any).await.unwrap());
        let http = TcpListener::bind(any).await.unwrap();
        let search = Search {
            ssdp: ssdp.local_addr().unwrap(),
            pmp_port: pmp.local_addr().unwrap().port(),
            trusted: vec![LOOPBACK],
            ..Search::default()
        };
        let at = http.local_addr().unwrap();
        tokio::spawn(answer_ssdp(ssdp, at));
        tokio::spawn(answer_pmp(pmp, Arc::clone(&state)));
        let of_http = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = http.accept().await {
                tokio::spawn(answer_http(stream, Arc::clone(&of_http)));
            }
        });
        Self { state, search }
    }
}

async fn answer_ssdp(socket: UdpSocket, http: SocketAddr) {
    let mut buffer = [0; 2048];
    while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
        if buffer[..size].starts_with(b"M-SEARCH * HTTP/1.1\r\n") {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:service:WANIPConnection:1\r\n\
                 LOCATION: http://{http}/root.xml\r\n\r\n"
            );
            let _ = socket.send_to(answer.as_bytes(), from).await;
        }
    }
}

const ROOT: &str = r#"<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>
<SCPDURL>/actions.xml</SCPDURL><controlURL>/control</controlURL></service></serviceList></device></root>"#;

fn actions() -> String {
    let action = |name: &str, arguments: &[&str]| {
        let argument = |name: &&str| {
            format!("<argument><name>New{name}</name><direction>in</direction></argument>")
        };
        let arguments: String = arguments.iter().map(argument).collect();
        format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
    };
    let key = ["RemoteHost", "ExternalPort", "Protocol"];
    let rest =
        ["InternalPort", "InternalClient", "Enabled", "PortMappingDescription", "LeaseDuration"];
    let all = [&key[..], &rest[..]].concat();
    let (add, any) = (action("AddPortMapping", &all), action("AddAnyPortMapping", &all));
    let delete = action("DeletePortMapping", &key);
    format!(r#"<?xml version="1.0"?><scpd><actionList>{add}{any}{delete}</actionList></scpd>"#)
}

async fn answer_http(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let (head, body) = loop {
        let Ok(size @ 1..) = stream.read(&mut buffer).await else { return };
        request.extend_from_slice(&buffer[..size]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|l| l.lines().next());
        if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let (status, body) = match head.split(' ').nth(1) {
        Some("/root.xml") => (200, ROOT.to_owned()),
        Some("/actions.xml") => (200, actions()),
        Some("/control") => soap(&head, &body, &mut state.lock().unwrap()),
        _ => (404, String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all((head + &body).as_bytes()).await;
}

fn field<'a>(body: &'a str, name: &str) -> &'a str {
    let after = body.split(&format!("<New{name}>")).nth(1).unwrap_or("");
    after.split("</").next().unwrap_or("")
}

/// An answer in its envelope, or an error of UPnP.
fn soap(head: &str, body: &str, state: &mut State) -> (u16, String) {
    let envelope = |inner: &str| {
        format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">\
             <s:Body>{inner}</s:Body></s:Envelope>"
        )
    };
    let service = "urn:schemas-upnp-org:service:WANIPConnection:1";
    let lower = head.to_ascii_lowercase();
    let action =
        ["GetExternalIPAddress", "AddPortMapping", "AddAnyPortMapping", "DeletePortMapping"]
            .into_iter()
            .find(|action| lower.contains(&format!("#{}\"", action.to_ascii_lowercase())))
            .expect("a known action");
    let result = match state.refuses {
        true => Err(606),
        false => act(action, body, state),
    };
    match result {
        Ok(inner) => (
            200,
            envelope(&format!(
                "<u:{action}Response xmlns:u=\"{service}\">{inner}</u:{action}Response>"
            )),
        ),
        Err(code) => (
            500,
            envelope(&format!(
                "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
                 <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>{code}</errorCode>\
                 <errorDescription>no</errorDescription></UPnPError></detail></s:Fault>"
            )),
        ),
    }
}

fn act(action: &str, body: &str, state: &mut State) -> Result<String, u16> {
    let protocol = if field(body, "Protocol") == "TCP" { "TCP" } else { "UDP" };
    let number = |name: &str| field(body, name).parse::<u32>().unwrap();
    let external = || u16::try_from(number("ExternalPort")).unwrap();
    match action {
        "GetExternalIPAddress" => {
            state.asked += 1;
            let ip = state.address.unwrap();
            Ok(format!("<NewExternalIPAddress>{ip}</NewExternalIPAddress>"))
        }
        "DeletePortMapping" => {
            let key = (protocol, external());
            state.removed.push(key);
            state.mappings.remove(&key).map(|_| String::new()).ok_or(714)
        }
        _ => {
            let mut port = external();
            let any = action == "AddAnyPortMapping";
            if state.permanent_only && number("LeaseDuration") != 0 {
                return Err(725);
            }
            match state.taken.contains(&port) {
                true if any => port = 50_000,
                true => return Err(718),
                false => {}
            }
            let ip: IpAddr = field(body, "InternalClient").parse().unwrap();
            let internal = SocketAddr::new(ip, u16::try_from(number("InternalPort")).unwrap());
            add(state, protocol, port, internal, number("LeaseDuration"));
            Ok(if any {
                format!("<NewReservedPort>{port}</NewReservedPort>")
            } else {
                String::new()
            })
        }
    }
}

fn add(state: &mut State, protocol: &'static str, port: u16, internal: SocketAddr, lease: u32) {
    let times = state.mappings.get(&(protocol, port)).map_or(0, |entry| entry.times) + 1;
    state.mappings.insert((protocol, port), Entry { internal, lease, times });
}

/// As RFC 6886 has it, sections 3.2 to 3.4.
async fn answer_pmp(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = [0; 64];
    while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
        let question = &buffer[..size];
        let answer = {
            let mut state = state.lock().unwrap();
            let refused = state.refuses;
            let mut answer = vec![0, question[1] + 128, 0, if refused { 2 } else { 0 }, 0, 0, 0, 9];
            match (question[1], question.len()) {
                (0, 2) => answer.extend(state.address.unwrap().octets()),
                (1 | 2, 12) => {
                    let number = |at: usize| u16::from_be_bytes([question[at], question[at + 1]]);
                    let (internal, mut wish) = (number(4), number(6));
                    let lease = u32::from_be_bytes(question[8..12].try_into().unwrap());
                    let protocol = if question[1] == 1 { "UDP" } else { "TCP" };
                    if lease == 0 {
                        let of = |(p, _): &(&str, u16), e: &Entry| {
                            *p == protocol && e.internal.port() == internal
                        };
                        let gone: Vec<_> = state
                            .mappings
                            .iter()
                            .filter(|(k, e)| of(k, e))
                            .map(|(k, _)| *k)
                            .collect();
                        state.mappings.retain(|key, _| !gone.contains(key));
                        state.removed.extend(gone);
                    } else if !refused {
                        if state.taken.contains(&wish) {
                            wish = 50_000;
                        }
                        add(
                            &mut state,
                            protocol,
                            wish,
                            SocketAddr::new(from.ip(), internal),
                            lease,
                        );
                    }
                    answer.extend([internal, wish].map(u16::to_be_bytes).concat());
                    answer.extend(lease.to_be_bytes());
                }
                _ => continue,
            }
            answer
        };
        let _ = socket.send_to(&answer, from).await;
    }
}

pub(super) const LEASE_SECONDS: u32 = LEASE.as_secs() as u32;
