#[cfg(feature = "upnp")]
mod fake;
#[cfg(feature = "upnp")]
mod mappings;

use super::*;

#[test]
fn the_words_are_those_of_go_ethereum() {
    let ip: IpAddr = "198.51.100.7".parse().unwrap();
    for (text, choice) in [
        ("none", NatChoice::None),
        ("off", NatChoice::None),
        ("any", NatChoice::Any),
        ("AUTO", NatChoice::Any),
        ("upnp", NatChoice::Upnp),
        ("pmp", NatChoice::Pmp(None)),
        ("natpmp:198.51.100.7", NatChoice::Pmp(Some(ip))),
        ("extip:198.51.100.7", NatChoice::External(ip)),
        ("extip:2a00::7", NatChoice::External("2a00::7".parse().unwrap())),
    ] {
        assert_eq!(text.parse(), Ok(choice), "{text}");
        assert_eq!(choice.to_string().parse(), Ok(choice), "{choice}");
    }
}

#[test]
fn other_words_are_refused() {
    for text in ["", "stun", "upnp:198.51.100.7", "extip", "none:1.2.3.4"] {
        assert_eq!(text.parse::<NatChoice>(), Err(NatChoiceError::Unknown), "{text}");
    }
    for text in ["extip:", "extip:here", "extip:0.0.0.0", "pmp:224.0.0.1", "extip:::"] {
        assert_eq!(text.parse::<NatChoice>(), Err(NatChoiceError::Address), "{text}");
    }
}

#[test]
fn a_gateway_is_asked_only_by_programs_that_can() {
    let built_in = cfg!(feature = "upnp");
    for choice in [NatChoice::Any, NatChoice::Upnp, NatChoice::Pmp(None)] {
        assert!(choice.asks_gateway());
        assert_eq!(choice.check().is_ok(), built_in, "{choice}");
    }
    for choice in [NatChoice::None, NatChoice::External([198, 51, 100, 7].into())] {
        assert!(!choice.asks_gateway());
        assert_eq!(choice.check(), Ok(()), "{choice}");
    }
}
