// Style sheets are taken in for their effect on the page alone.
declare module "*.css";
