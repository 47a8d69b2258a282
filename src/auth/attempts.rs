//! Failed logins, by address: beyond a rate, whoever guesses has to wait. Pure but for its map; takes `now`.
//!
//! GCRA kept by hand: only failures count, and they are known only after the attempt, so the look and the charge are two steps, which a
//! governor limiter does not have.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

use super::bounded::Bounded;

/// How many failures an address has made lately.
#[derive(Debug)]
pub(super) struct Attempts {
    /// When all failures of an address will be forgotten.
    clear_at: Bounded<IpAddr, Instant>,
}

/// The rate of failures that is borne: so many a minute, one at least.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate(pub(super) u32);

impl Rate {
    fn each(self) -> Duration {
        MINUTE / self.0.max(1)
    }
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self {
            clear_at: Bounded::new(MAX_ADDRESSES),
        }
    }

    /// How long `address` has to wait before it may try again, if it has to.
    pub(super) fn wait(&self, address: IpAddr, rate: Rate, now: Instant) -> Option<Duration> {
        let clear_in = self.clear_at.get(&network(address), now)?.duration_since(now);
        clear_in
            .checked_sub(MINUTE.saturating_sub(rate.each()))
            .filter(|wait| !wait.is_zero())
    }

    /// Counts a failure.
    pub(super) fn failed(&self, address: IpAddr, rate: Rate, now: Instant) {
        self.clear_at.update(network(address), now, |clear_at| {
            // Attempts that were under way together may fail together: they do not lock an address out for longer than a minute.
            let clear_at = (clear_at.unwrap_or(now) + rate.each()).min(now + MINUTE);
            (clear_at, clear_at)
        });
    }
}

/// What counts as one address: a host of IPv4, a /64 of IPv6 (what one customer has).
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const MAX_ADDRESSES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_minute: u32) -> Rate {
        Rate(per_minute)
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_failures_a_minute_are_borne_and_then_one_every_while() {
        let attempts = Attempts::new();
        let (address, mut now) = ("10.0.0.1".parse().unwrap(), Instant::now());
        for _ in 0..30 {
            assert_eq!(attempts.wait(address, rate(30), now), None);
            attempts.failed(address, rate(30), now);
        }
        assert_eq!(attempts.wait(address, rate(30), now), Some(Duration::from_secs(2)));
        assert_eq!(attempts.wait("10.0.0.2".parse().unwrap(), rate(30), now), None);
        now += Duration::from_secs(2);
        assert_eq!(attempts.wait(address, rate(30), now), None);
        attempts.failed(address, rate(30), now);
        assert_eq!(attempts.wait(address, rate(30), now), Some(Duration::from_secs(2)));
        now += MINUTE;
        for _ in 0..30 {
            assert_eq!(attempts.wait(address, rate(30), now), None);
            attempts.failed(address, rate(30), now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_at_once_cost_a_minute_at_most() {
        let attempts = Attempts::new();
        let (address, now) = ("10.0.0.1".parse().unwrap(), Instant::now());
        for _ in 0..1000 {
            attempts.failed(address, rate(1), now);
        }
        assert_eq!(attempts.wait(address, rate(1), now), Some(MINUTE));
        assert_eq!(attempts.wait(address, rate(1), now + MINUTE), None);
    }

    #[test]
    fn an_ipv6_customer_is_one_address_and_a_mapped_one_is_ipv4() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
