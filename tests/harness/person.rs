//! What a person does in a browser so that programs may work: sets the organization up, signs in,
//! allows a program or a machine.

use super::{
    program::{Program, Service},
    visitor::{Page, Visitor},
    wait::{eventually, secs},
};

/// The owner's email and password in every test.
pub(crate) const OWNER: (&str, &str) = ("olga@example.com", "correct horse battery");

/// An invited person's email and password.
pub(crate) const INVITED: (&str, &str) = ("ines@example.com", "another horse battery");

/// Opens the link that the server printed and becomes its owner.
#[track_caller]
pub(crate) fn set_up(service: &Service) -> Visitor {
    let link = eventually("the set-up link is printed", secs(10), || {
        address_with(&service.program.stdout(), "/setup/")
    });
    let mut visitor = Visitor::new(&service.url);
    let page = visitor.open(&link);
    let fill = [
        ("organization", "Acme"),
        ("name", "Olga"),
        ("email", OWNER.0),
        ("password", OWNER.1),
    ];
    let page = visitor.press(&page, "Set up", &fill);
    assert!(!page.url.path().contains("setup"), "{}", page.shown());
    visitor
}

/// Signs in on the page that asks for it; gives the page behind it.
#[track_caller]
fn sign_in(visitor: &mut Visitor, page: &Page, who: (&str, &str)) -> Page {
    let fill = [("email", who.0), ("password", who.1)];
    visitor.press(page, "Sign in", &fill)
}

/// Types the code that a program shows, and allows it.
#[track_caller]
pub(crate) fn allow_device(visitor: &mut Visitor, program: &mut Program) {
    let page = device_page(visitor, program);
    let done = visitor.press(&page, "Allow", &[]);
    assert!(done.words().contains("Signed in"), "{}", done.shown());
}

/// Types the code that a program shows; the page that asks whether to allow it.
#[track_caller]
pub(crate) fn device_page(visitor: &mut Visitor, program: &mut Program) -> Page {
    let address = eventually("the program shows a code", secs(20), || {
        let ended = program.ended();
        assert!(
            ended.is_none(),
            "ended with {ended:?}: {}",
            program.output()
        );
        address_with(&program.stdout(), "user_code=")
    });
    let page = visitor.open(&address);
    visitor.press(&page, "Continue", &[])
}

/// The first address in a text that has this in it.
fn address_with(text: &str, part: &str) -> Option<String> {
    let mut words = text.split(|c: char| c.is_whitespace() || matches!(c, '"' | ')' | '('));
    let found = words.find(|word| word.starts_with("http") && word.contains(part))?;
    Some(found.to_owned())
}

/// Allows a client that wants to sign in at this address, from a browser that is not signed in yet,
/// and goes on to where the browser is sent: the client's own listener.
#[track_caller]
pub(crate) fn allow(service: &Service, address: &str, name: &str, who: (&str, &str)) {
    let mut visitor = Visitor::new(&service.url);
    let page = visitor.open(address);
    let page = sign_in(&mut visitor, &page, who);
    assert!(page.words().contains(name), "{}", page.shown());
    let done = visitor.press(&page, "Allow", &[]);
    let away = done.away.clone();
    let away = away.unwrap_or_else(|| panic!("{}", done.shown()));
    let mut listener = Visitor::new(away.as_str());
    let page = listener.open(away.as_str());
    assert!(page.status < 400, "{}", page.shown());
}

/// Takes a client's access back in the console.
#[track_caller]
pub(crate) fn disconnect(person: &mut Visitor, name: &str) {
    let page = person.open("/settings/clients");
    let page = person.press_beside(&page, name, "Disconnect", &[]);
    assert!(page.words().contains("Disconnected"), "{}", page.shown());
}

/// Makes an invitation; gives its link.
#[track_caller]
pub(crate) fn invite(owner: &mut Visitor, email: &str) -> String {
    let page = owner.open("/settings/members");
    let page = owner.press(&page, "Make invitation link", &[("email", email)]);
    let mut words = page.body.split(['<', '>', '"']);
    let link = words.find(|word| word.starts_with("http") && word.contains("/invitations/"));
    link.unwrap_or_else(|| panic!("no link: {}", page.shown()))
        .to_owned()
}

/// The invited person joins by the link.
#[track_caller]
pub(crate) fn accept(service: &Service, link: &str) -> Visitor {
    let mut visitor = Visitor::new(&service.url);
    let page = visitor.open(link);
    let fill = [("name", "Ines"), ("password", INVITED.1)];
    let page = visitor.press(&page, "Join", &fill);
    assert!(!page.url.path().contains("invitations"), "{}", page.shown());
    visitor
}
