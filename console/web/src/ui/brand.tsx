export function Brand() {
  return (
    <a class="brand" href="#/approvals">
      <img src="/console/assets/icon.svg" alt="" width="24" height="24" />
      <span>Tallyport</span>
    </a>
  );
}
