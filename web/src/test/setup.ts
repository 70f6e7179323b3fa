/** Before every file of tests: what is waited for comes, or the test is wrong; how long it takes is the machine's affair. */

import { configure } from '@testing-library/react'

configure({ asyncUtilTimeout: 30_000 })
