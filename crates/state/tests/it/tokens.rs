//! Tokens: shown once, kept as hashes, good until they expire or are revoked.

use std::os::unix::fs::PermissionsExt;

use state::{Scope, TokenError};

use crate::{new_state, seconds};

#[tokio::test]
async fn token_lives_until_revoked() {
    let (folder, state) = new_state().await;
    let new = state.create_token("ci", &[Scope::Read], None, seconds(1)).await.expect("created");
    assert!(new.text.starts_with("qw_") && new.text.len() == 46, "{}", new.text.len());
    assert!(!format!("{new:?}").contains(&new.text));
    let token = state.verify_token(&new.text, seconds(2)).await.expect("read").expect("good");
    assert_eq!((token.name.as_str(), token.last_used), ("ci", None));
    assert!(token.allows(Scope::Read) && !token.allows(Scope::Write));
    state.verify_token(&new.text, seconds(30)).await.expect("read").expect("good");
    assert_eq!(state.tokens().await.expect("read")[0].last_used, Some(seconds(2)));
    state.verify_token(&new.text, seconds(62)).await.expect("read").expect("good");
    assert_eq!(state.tokens().await.expect("read")[0].last_used, Some(seconds(62)));
    for wrong in ["", "qw_", &new.text[..45], &format!("{}x", new.text), "' OR 1=1 --"] {
        assert_eq!(state.verify_token(wrong, seconds(3)).await.expect("read"), None);
    }
    for file in ["state.sqlite", "state.sqlite-wal"] {
        let bytes = std::fs::read(folder.path().join(file)).expect("read");
        let found = bytes.windows(43).any(|window| window == &new.text.as_bytes()[3..]);
        assert!(!found, "{file} holds the token itself");
    }
    assert!(state.revoke_token("ci", seconds(70)).await.expect("revoked"));
    assert!(!state.revoke_token("ci", seconds(71)).await.expect("revoked"));
    assert_eq!(state.verify_token(&new.text, seconds(72)).await.expect("read"), None);
    assert_eq!(state.tokens().await.expect("read")[0].revoked, Some(seconds(70)));
    let again = state.create_token("ci", &[Scope::Admin], None, seconds(80)).await;
    let again = again.expect("a revoked name is free");
    assert!(again.token.allows(Scope::Ingest));
    assert_ne!(again.text, new.text);
}

#[tokio::test]
async fn token_expires() {
    let (_folder, state) = new_state().await;
    let expires = Some(seconds(10));
    let new = state.create_token("ci", Scope::ALL, expires, seconds(1)).await.expect("created");
    assert!(state.verify_token(&new.text, seconds(9)).await.expect("read").is_some());
    assert!(state.verify_token(&new.text, seconds(10)).await.expect("read").is_none());
    assert_eq!(new.token.scopes, Scope::ALL);
}

#[tokio::test]
async fn wrong_tokens_are_not_created() {
    let (_folder, state) = new_state().await;
    state.create_token("ci", &[Scope::Read], None, seconds(1)).await.expect("created");
    let long = "n".repeat(65);
    for name in ["", " ci", "a\nb", &long] {
        let error = state.create_token(name, &[Scope::Read], None, seconds(1)).await;
        assert!(matches!(error, Err(TokenError::Name)), "{name:?}");
    }
    let taken = state.create_token("ci", &[Scope::Read], None, seconds(1)).await;
    assert!(matches!(taken, Err(TokenError::Taken(_))));
    let scopeless = state.create_token("x", &[], None, seconds(1)).await;
    assert!(matches!(scopeless, Err(TokenError::NoScope)));
    let dead = state.create_token("x", &[Scope::Read], Some(seconds(1)), seconds(1)).await;
    assert!(matches!(dead, Err(TokenError::Expired)));
    assert!("root".parse::<Scope>().is_err());
}

#[tokio::test]
async fn first_start_leaves_the_admin_token_in_a_file() {
    let (folder, state) = new_state().await;
    let path = state.ensure_admin_token(folder.path(), seconds(1)).await.expect("written");
    let path = path.expect("the first start");
    assert_eq!(path, folder.path().join("admin.token"));
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).expect("read");
    let token = state.verify_token(text.trim_end(), seconds(2)).await.expect("read");
    assert!(token.expect("good").allows(Scope::Admin));
    assert_eq!(state.ensure_admin_token(folder.path(), seconds(3)).await.expect("kept"), None);
    state.revoke_token("admin", seconds(4)).await.expect("revoked");
    let again = state.ensure_admin_token(folder.path(), seconds(5)).await.expect("kept");
    assert_eq!(again, None, "revoking the first token is a decision that stays");
}
