//! Who a request comes from: the peer, or what a trusted proxy says of it. Pure.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use crate::exchange::{Client, Connection};

/// Forwarded headers count only where the peer is trusted: then the client is the rightmost address that is not a trusted proxy's.
pub(super) fn resolve(connection: &Connection, headers: &HeaderMap, trusted: &[IpNet]) -> Client {
    let peer = connection.peer.ip().to_canonical();
    let believed = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = Client {
        address: peer,
        peer: connection.peer,
        secure: connection.secure,
    };
    if !believed(&peer) {
        return client;
    }
    for hop in forwarded_for(headers).rev() {
        // What stands left of something unreadable was written by somebody unknown.
        let Some(address) = hop.parse::<IpAddr>().ok().map(|address| address.to_canonical()) else {
            break;
        };
        client.address = address;
        if !believed(&address) {
            break;
        }
    }
    if let Some(proto) = headers
        .get_all("x-forwarded-proto")
        .iter()
        .next_back()
        .and_then(|proto| proto.to_str().ok())
    {
        client.secure = proto.trim().eq_ignore_ascii_case("https");
    }
    client
}

fn forwarded_for(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    headers
        .get_all("x-forwarded-for")
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("unreadable").split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> String {
        let connection = Connection {
            peer: peer.parse().unwrap(),
            secure: false,
            core: 0,
        };
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", http::HeaderValue::from_static(value));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        resolve(&connection, &headers, &trusted).address.to_string()
    }

    #[test]
    fn nobody_is_believed_unless_configured() {
        assert_eq!(client("10.0.0.1:5", &["1.2.3.4"], &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1:5", &["1.2.3.4"], &["10.9.0.0/16"]), "10.0.0.1");
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        assert_eq!(
            client("10.0.0.1:5", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], &["10.0.0.0/8"]),
            "1.2.3.4"
        );
        assert_eq!(
            client("10.0.0.1:5", &["6.6.6.6", "1.2.3.4"], &["10.0.0.0/8"]),
            "1.2.3.4"
        );
        assert_eq!(client("10.0.0.1:5", &["6.6.6.6, rubbish"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(
            client("[::ffff:10.0.0.1]:5", &["2001:db8::1"], &["10.0.0.0/8"]),
            "2001:db8::1"
        );
    }
}
