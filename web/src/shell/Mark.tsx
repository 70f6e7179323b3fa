/** The anvil. */
export const Mark = () => (
  <svg width="24" height="24" viewBox="0 0 32 32" aria-hidden="true">
    <path
      d="M5 10h17.5c0 3.2 2 5.2 4.5 5.7v1.8h-6.6c-1.2 0-2 .6-2.3 1.6l-.6 2.4h2.9V25H9.6v-3.5h2.9l-.7-2.7C8.3 18.3 5.6 15.2 5 10Z"
      fill="var(--ember)"
    />
  </svg>
)
