use super::{Face, NodeUrl, UrlError};

#[test]
fn urls_are_read_and_written() {
    for (text, face, tls, host, port) in [
        ("ws://127.0.0.1:20201", Face::WebSocket, false, "127.0.0.1", 20_201),
        ("wss://node.example:1/", Face::WebSocket, true, "node.example", 1),
        ("channel://[::1]:20200", Face::Channel, true, "::1", 20_200),
        ("channel+plain://h", Face::Channel, false, "h", 20_200),
        ("WSS://h:9", Face::WebSocket, true, "h", 9),
    ] {
        let url: NodeUrl = text.parse().unwrap();
        assert_eq!((url.face(), url.is_tls(), url.host(), url.port()), (face, tls, host, port));
        assert_eq!(url.to_string().parse::<NodeUrl>().unwrap(), url);
    }
}

#[test]
fn what_is_no_url_says_why() {
    for (text, why) in [
        ("127.0.0.1:20200", UrlError::NoScheme),
        ("http://h:1", UrlError::Scheme),
        ("ws://:1", UrlError::NoHost),
        ("ws://", UrlError::NoHost),
        ("ws://[::1:5", UrlError::NoHost),
        ("ws://h:0", UrlError::Port),
        ("ws://h:65536", UrlError::Port),
        ("ws://h:1/path", UrlError::Rest),
        ("ws://me@h:1", UrlError::Rest),
    ] {
        assert_eq!(text.parse::<NodeUrl>(), Err(why), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_url_that_comes_back_or_none(text in "\\PC{0,40}|(wss?|channel)://\\PC{0,20}") {
        if let Ok(url) = text.parse::<NodeUrl>() {
            proptest::prop_assert_eq!(url.to_string().parse::<NodeUrl>(), Ok(url));
        }
    }
}
