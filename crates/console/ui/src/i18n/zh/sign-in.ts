import type { signIn as english } from '../en/sign-in';

export const signIn: Record<keyof typeof english, string> = {
  'signin.title': '登录',
  'signin.token': '令牌',
  'signin.token.hint': '用 graywave tokens create 名称 创建令牌。',
  'signin.button': '登录',
  'signin.with': '使用 {provider} 继续',
  'signin.or': '或',
  'signin.code': '正在通过一次性链接登录',
  'signin.error.code': '该链接已被使用,或已超过 10 分钟。请用令牌登录,或生成新链接。',
  'signin.error.token': '令牌无效,可能已过期或被吊销。',
  'signin.error.many': '尝试次数过多。请等待 {time}后重试。',
  'signin.error.denied': '身份提供方拒绝了登录,或登录被取消。',
  'signin.error.expired': '登录超过 10 分钟,或页面被打开了两次。请重新开始。',
  'signin.error.state': '登录是在另一个浏览器中开始的。请在这里重新开始。',
  'signin.error.unavailable': '身份提供方没有响应。请稍后再试,或用令牌登录。',
  'signin.error.not_allowed': '您所在的组都无权访问此项目。管理员可以添加映射。',
  'signin.error.groups_overage': '您所在的组过多,身份提供方无法列出。请联系管理员。',
  'signin.error.email_unverified': '身份提供方尚未验证您的邮箱地址。',
  'signin.error.clock': '服务器与身份提供方的时钟不一致。请联系管理员。',
  'signin.error.failed': '登录失败。请重试,或用令牌登录。',
  'signin.ended': '会话已结束。登录后可继续之前的操作。',
};
