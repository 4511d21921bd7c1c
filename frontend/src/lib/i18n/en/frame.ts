export default {
  skip: "Skip to content",
  loading: "Loading",
  closeMenu: "Close the menu",
  broken: {
    title: "This page could not be loaded.",
    text: "Either you are offline, or a newer version has taken its place.",
    reload: "Reload",
  },
};
