//! Whether a user may be deleted without harm: lakeFS keeps another one, and the gateway its own.
//!
//! Open-source lakeFS has one user, says 204 to its deletion, and is locked for good. With a server for users behind it there are many.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;

use crate::lakefs_client::{Caller, Client, RefsError};

const USERS: &str = "/api/v1/auth/users/";

/// Whether the user whom a deletion's path names is neither the only one nor the gateway's own.
///
/// # Errors
/// When lakeFS does not say.
pub(super) async fn can_be_spared(client: &Client, caller: &Caller, path: &str) -> Result<bool, RefsError> {
    let Some(named) = path.strip_prefix(USERS) else {
        return Ok(false);
    };
    let Some(own) = client.caller(caller).await? else {
        return Ok(false);
    };
    if readings(named).contains(&own.id) {
        return Ok(false);
    }
    // The gateway's own is one of them, unless lakeFS has stopped knowing it.
    let users = client.users(caller, 2).await?;
    Ok(users.len() > 1)
}

/// A name as it is written, and as it can be decoded: lakeFS decodes a path twice, or once, the second time with `+` for a space.
fn readings(written: &str) -> BTreeSet<String> {
    let decoded = |text: &String| {
        let plain = percent_decode_str(text).decode_utf8_lossy().into_owned();
        let form = percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned();
        [plain, form]
    };
    let mut readings = BTreeSet::from([written.to_owned()]);
    for _ in 0..2 {
        let more: Vec<String> = readings.iter().flat_map(decoded).collect();
        readings.extend(more);
    }
    readings
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode, header};

    use super::*;
    use crate::lakefs_client::fake::FakeLakefs;

    #[test]
    fn a_name_is_found_however_it_is_written() {
        for written in ["admin", "%61dmin", "%2561dmin", "admi%256E", "%61%64min"] {
            assert!(readings(written).contains("admin"), "{written}");
        }
        assert!(readings("ad+min").contains("ad min") && readings("ad%2Bmin").contains("ad min"));
        assert!(!readings("wendy").contains("admin"));
    }

    #[tokio::test]
    async fn the_only_user_and_the_gateways_own_are_kept() {
        let lakefs = FakeLakefs::start().await;
        let client = lakefs.client();
        let bearer = format!("Bearer {}", lakefs.token("admin")).parse().unwrap();
        let caller = Caller::Client(HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]));
        let spared = async |name: &str| can_be_spared(&client, &caller, &format!("{USERS}{name}")).await;
        assert!(!spared("admin").await.unwrap() && !spared("wendy").await.unwrap());
        lakefs.set_users(&["admin", "wendy"]);
        assert!(spared("wendy").await.unwrap());
        assert!(!spared("admin").await.unwrap() && !spared("%61dmin").await.unwrap());
        lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
        assert!(spared("wendy").await.is_err());
        let nobody = Caller::Client(HeaderMap::new());
        lakefs.fail_with(None);
        assert!(
            !can_be_spared(&client, &nobody, "/api/v1/auth/users/wendy")
                .await
                .unwrap()
        );
    }
}
